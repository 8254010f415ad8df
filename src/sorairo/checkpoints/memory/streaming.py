"""A model larger than memory: its blocks stay in their files, each is loaded before it is used and dropped after.

Nothing of the model knows: hooks around every block do it. While a block computes, the next one is loaded, so two
are held at a time. The result is the same to the bit.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sorairo.checkpoints.headers import Entry
from sorairo.checkpoints.tensors import Adapt, _check, load_weights, pack_layers

__all__ = ["HELD", "load_streamed"]

HELD = 2
"""Blocks that are in memory at a time."""

Weights = dict[tuple[str, str], nn.Parameter]  # (submodule, name) -> parameter


def load_streamed(
    module: nn.Module,
    entries: Mapping[str, Entry],
    adapt: Adapt = dict,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    *,
    under: str = "blocks",
    where: Path | None = None,
) -> nn.Module:
    """Fill a module made on the meta device, as load_weights does, but leave the blocks under that name in their files.

    Returns the module, frozen, ready for forward passes one after another (not several at a time). Raises UserError, at
    once, for tensors that are missing, left over or of another shape; where: what it calls them. A block's weights
    that are changed in place are lost with its next use.
    """
    blocks = module.get_submodule(under)
    assert isinstance(blocks, nn.ModuleList)
    pack_layers(module, entries, adapt, dtype)
    _check(module, entries, adapt, where)
    module.eval().requires_grad_(False)
    rest, own = _split(entries, adapt, under)
    setattr(module, under, nn.ModuleList())
    load_weights(module, rest, adapt, dtype)
    module.to(device)
    setattr(module, under, blocks)
    loaders = [
        _Loader(block, own.get(i, {}), _under(f"{under}.{i}.", adapt), dtype, torch.device(device))
        for i, block in enumerate(blocks)
    ]
    queue = _Queue(loaders)
    for i, block in enumerate(blocks):
        block.register_forward_pre_hook(partial(_before, queue, i))
        block.register_forward_hook(_after, always_call=True)
        _empty(block)
    return module


def _before(queue: _Queue, i: int, block: nn.Module, args: Any) -> None:
    _fill(block, queue.take(i))


def _after(block: nn.Module, args: Any, made: Any) -> None:
    _empty(block)


def _split(
    entries: Mapping[str, Entry], adapt: Adapt, under: str
) -> tuple[dict[str, Entry], dict[int, dict[str, Entry]]]:
    """(entries outside the blocks, those of each block)."""
    rest: dict[str, Entry] = {}
    own: dict[int, dict[str, Entry]] = {}
    for name, entry in entries.items():
        (ours,) = adapt({name: torch.empty(entry.shape, device="meta")})
        head, _, tail = ours.partition(".")
        place = own.setdefault(int(tail.split(".")[0]), {}) if head == under else rest
        place[name] = entry
    return rest, own


def _under(prefix: str, adapt: Adapt) -> Adapt:
    """adapt, with the names of one block's own module."""

    def adapted(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return {name.removeprefix(prefix): tensor for name, tensor in adapt(tensors).items()}

    return adapted


class _Loader:
    """Reads one block's weights."""

    def __init__(
        self,
        block: nn.Module,
        entries: Mapping[str, Entry],
        adapt: Adapt,
        dtype: torch.dtype | None,
        device: torch.device,
    ):
        self.shell = copy.deepcopy(block).to("meta")
        self.entries, self.adapt, self.dtype, self.device = entries, adapt, dtype, device
        self.stream: torch.cuda.Stream | None = None

    def __call__(self) -> Weights:
        block = copy.deepcopy(self.shell)
        load_weights(block, self.entries, self.adapt, self.dtype)
        if self.device.type == "cuda":  # beside what the device computes meanwhile
            self.stream = self.stream or torch.cuda.Stream(self.device)
            with torch.cuda.stream(self.stream):
                block.to(self.device)
            self.stream.synchronize()
        else:
            block.to(self.device)
        return {(path, name): value for path, name, value in _parameters(block)}


class _Queue:
    """Has the block that comes next loaded by the time that it is asked for."""

    def __init__(self, loaders: list[_Loader]):
        self.loaders = loaders
        self.pool = ThreadPoolExecutor(1, "blocks")
        self.next: tuple[int, Future[Weights]] | None = None

    def take(self, i: int) -> Weights:
        ready, self.next = self.next, None
        weights = ready[1].result() if ready and ready[0] == i else self.loaders[i]()
        after = (i + 1) % len(self.loaders)
        self.next = after, self.pool.submit(self.loaders[after])
        return weights


def _parameters(module: nn.Module) -> Iterator[tuple[str, str, nn.Parameter]]:
    for path, part in module.named_modules():
        for name, value in part._parameters.items():
            if value is not None:
                yield path, name, value


def _fill(block: nn.Module, weights: Weights) -> None:
    for (path, name), value in weights.items():
        if value.is_cuda:  # made on another stream: not to be given away before this one has used it
            value.record_stream(torch.cuda.current_stream(value.device))
        block.get_submodule(path)._parameters[name] = value


def _empty(block: nn.Module) -> None:
    for path, name, value in list(_parameters(block)):
        if not value.is_meta:
            hollow = torch.empty(value.shape, dtype=value.dtype, device="meta")
            block.get_submodule(path)._parameters[name] = nn.Parameter(hollow, requires_grad=False)
