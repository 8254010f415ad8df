"""Where networks are trained and in which numbers: device, dtype, then recomputation -> compilation -> sharding.

Networks know nothing of it. The order is torchtitan's (`parallelize_*`): what is compiled is the block with its
recomputation, and what is sharded is the compiled block. Batches are drawn on the CPU and moved here, so a seed means
the same on every device.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sorairo.codec.model import Codec
from sorairo.codec.norm import compile_norms
from sorairo.nn.precision import bf16_pays
from sorairo.training.parallel.processes import Team
from sorairo.training.parallel.sharding import cast, shard
from sorairo.transformer.compiling import uncompiled
from sorairo.transformer.context import split_context
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

__all__ = ["Placement", "find_device", "recompute", "working_dtype"]

T = TypeVar("T")

WRAPPER = "_checkpoint_wrapped_module."
BUCKET = 1 << 24
"""Gradients that are summed at once, in values: 64 MB in float32, whatever the size of the network."""


@dataclass(frozen=True, kw_only=True)
class Placement:
    """device, and the dtype of the working weights there. team: the processes that share each batch.

    checkpointing: blocks keep their input alone and are computed again in the backward pass: less memory, a third
    more time (Chen et al. 2016). compile: a transformer's blocks, once for all shapes, and a codec's norms.
    """

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    dtype: torch.dtype = torch.float32
    compile: bool = False
    checkpointing: bool = False
    team: Team = field(default_factory=Team)

    @classmethod
    def choose(
        cls,
        device: str = "auto",
        dtype: str = "auto",
        *,
        compile: bool = True,
        checkpointing: bool = False,
        shard: int = 1,
        context: int = 1,
    ) -> Placement:
        """From the settings' words. Raises UserError when there is no such device, or not enough processes."""
        there = find_device(device)
        return cls(
            device=there,
            dtype=working_dtype(dtype, there),
            compile=compile,
            checkpointing=checkpointing,
            team=Team(there, shard=shard, context=context),
        )

    def place(self, networks: Mapping[str, nn.Module]) -> None:
        """Move the networks, in place; recompute, compile and shard their blocks, and split clips. Names stay."""
        for network in networks.values():
            network.to(self.device)
            if self.team.context is not None and isinstance(network, Transformer):
                split_context(network, self.team.context)
            if self.checkpointing and isinstance(network, Transformer):
                recompute(network.blocks)
            if self.compile and isinstance(network, Transformer):
                uncompiled(network)
                for block in network.blocks:
                    block.compile(dynamic=True)
            if self.compile and isinstance(network, Codec):
                compile_norms(network)
            if self.team.mesh is not None:
                shard(network, self.team.mesh)

    def cast(self, networks: Mapping[str, nn.Module]) -> None:
        """Turn sharded networks into working copies, once the optimizer has their exact weights."""
        if self.team.mesh is not None:
            for network in networks.values():
                cast(network, self.dtype)

    def parameters(self, networks: Mapping[str, nn.Module]) -> list[tuple[str, nn.Parameter]]:
        """(network.name, parameter) of all, under the names that they have where nothing is recomputed."""
        return [
            (f"{network}.{name.replace(WRAPPER, '')}", parameter)
            for network, module in networks.items()
            for name, parameter in module.named_parameters()
        ]

    def put(self, batch: T) -> T:
        """The batch with every tensor on the device: a tensor, or a tuple, a mapping or a dataclass that holds some."""
        return self._put(batch)

    def _put(self, value: Any) -> Any:
        if isinstance(value, Tensor):
            if value.device == self.device:
                return value
            pinned = value.pin_memory() if self.device.type == "cuda" and torch.cuda.is_available() else value
            return pinned.to(self.device, non_blocking=True)
        if is_dataclass(value) and not isinstance(value, type):
            return replace(
                value, **{f.name: self._put(getattr(value, f.name)) for f in fields(value) if f.init}
            )
        if isinstance(value, tuple):
            return tuple(self._put(part) for part in value)
        if isinstance(value, Mapping):
            return {key: self._put(part) for key, part in value.items()}
        return value

    @torch.no_grad()
    def average(self, parameters: Iterable[nn.Parameter], *numbers: float) -> list[float]:
        """Every gradient becomes its mean over the team; returns the means of `numbers`. Sums in float32.

        All processes get the same bits, so that their copies of the weights stay the same. Gradients of sharded
        parameters are means already.
        """
        count = self.team.size
        if count == 1:
            return list(numbers)
        whole = [p.grad for p in parameters if p.grad is not None and not isinstance(p, DTensor)]
        for grads in _buckets(whole):
            flat = self.team.sum(torch.cat([grad.flatten().float() for grad in grads])) / count
            means = flat.split([grad.numel() for grad in grads])
            for grad, mean in zip(grads, means, strict=True):
                grad.copy_(mean.view_as(grad))
        return (self.team.sum(torch.tensor(numbers, device=self.device)) / count).tolist()


def find_device(name: str = "auto") -> torch.device:
    """A device by its name in torch; auto is CUDA where there is some, else the CPU. Raises UserError.

    Each process of a team takes the CUDA device of its number (LOCAL_RANK), unless the name has a number.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        if device.type == "cuda" and device.index is None:
            device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", 0)))
        if device.type == "meta":
            raise RuntimeError("it holds no numbers")
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, AttributeError) as error:
        raise UserError(
            f"This torch has no device {name!r} here; --device auto takes the best there is."
        ) from error
    return device


def working_dtype(name: str, device: torch.device | None = None) -> torch.dtype:
    """The dtype of a dtype's name; auto is bf16 where that is the faster one on the device (None: the CPU)."""
    if name == "auto":
        return torch.bfloat16 if bf16_pays(device) else torch.float32
    return {"bf16": torch.bfloat16, "fp32": torch.float32}[name]


def recompute(blocks: nn.ModuleList) -> None:
    """Wrap each block; the wrapper leaves the names of parameters and of saved weights as they are."""
    from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper

    for index, block in enumerate(blocks):
        blocks[index] = checkpoint_wrapper(block)


def _buckets(grads: list[Tensor]) -> Iterator[list[Tensor]]:
    """The gradients in order, in lists of about BUCKET values."""
    held: list[Tensor] = []
    for grad in grads:
        if held and sum(g.numel() for g in held) + grad.numel() > BUCKET:
            yield held
            held = []
        held.append(grad)
    if held:
        yield held
