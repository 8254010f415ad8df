"""What a training step needs in memory, said before it begins: by a dry run on tensors that have no content."""

# Letters: b clips, c channels, t h w latent grid, l words

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from sorairo.checkpoints.memory.available import available_memory
from sorairo.checkpoints.memory.working import Live
from sorairo.files import said_size
from sorairo.training.low_rank import LoraConfig, add_lora
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.parallel.placement import recompute
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.types import UserError

__all__ = ["StepMemory", "choose_checkpointing", "step_memory"]


@dataclass(frozen=True, kw_only=True)
class StepMemory:
    """Bytes of the largest step's parts, on the device. optimizer: exact weights, momenta and the average, float32.

    activations: all that the forward and backward passes hold at their worst moment, beside weights and gradients.
    """

    weights: int
    gradients: int
    optimizer: int
    activations: int
    checkpointing: bool

    @property
    def total(self) -> int:
        """All of them."""
        return self.weights + self.gradients + self.optimizer + self.activations

    def lines(self, free: int | None) -> list[str]:
        """The plan as a table of text, a line each."""
        rows = {
            "weights": self.weights,
            "gradients": self.gradients,
            "optimizer and average": self.optimizer,
            "activations" + (" (blocks recomputed)" if self.checkpointing else ""): self.activations,
            "together": self.total,
        }
        if free is not None:
            rows["free"] = free
        return [f"{name:<34} {said_size(size):>9}" for name, size in rows.items()]


def step_memory(
    config: TransformerConfig,
    shape: tuple[int, int, int, int],
    words: int,
    dtype: torch.dtype,
    *,
    lora: LoraConfig | None = None,
    optim: OptimConfig | None = None,
    checkpointing: bool = False,
    packed: bool = False,
) -> StepMemory:
    """Of a step with clips of latents (b t h w) and captions of `words` words.

    packed: they lie one behind another, as clips of mixed shapes do, each token with numbers of its own. lora: only
    low-rank changes are trained; the weights stay. The passes are run without memory for one block and for two, and
    every further block costs what the second does. Raises UserError for a rank that the model's layers do not have.
    """
    one, two = (
        _dry(
            replace(config, layers=layers),
            shape,
            words,
            dtype,
            lora,
            optim or OptimConfig(),
            checkpointing,
            packed,
        )
        for layers in (1, 2)
    )

    def at(first: int, second: int) -> int:
        return first + (config.layers - 1) * (second - first)

    return StepMemory(
        weights=at(one.weights, two.weights),
        gradients=at(one.gradients, two.gradients),
        optimizer=at(one.optimizer, two.optimizer),
        activations=at(one.activations, max(one.activations, two.activations)),
        checkpointing=checkpointing,
    )


def _dry(
    config: TransformerConfig,
    shape: tuple[int, int, int, int],
    words: int,
    dtype: torch.dtype,
    lora: LoraConfig | None,
    optim: OptimConfig,
    checkpointing: bool,
    packed: bool,
) -> StepMemory:
    b, t, h, w = shape
    with FakeTensorMode(), _numbers(dtype):
        transformer = Transformer(config)
        if lora is not None:
            add_lora(transformer, lora)
        weights = sum(p.numel() * p.element_size() for p in transformer.parameters())
        trained = [p for p in transformer.parameters() if p.requires_grad]
        gradients = sum(p.numel() * p.element_size() for p in trained)
        held = Optimizer(transformer.named_parameters(), optim, dtype)
        groups = (
            held.weights,
            held.weights,
            held.first,
            held.second,
        )  # the average is as large as the weights
        values = sum(x.numel() for group in groups for x in group.values())
        if checkpointing:
            recompute(transformer.blocks)
        x = torch.empty(b, config.channels, t, h, w, dtype=dtype)
        text = torch.empty(b, words, config.text_dim, dtype=dtype)
        with Live() as live:
            if packed:
                made = transformer(list(x), torch.empty(b * t), text, None)
                torch.stack([clip.float().square().mean() for clip in made]).mean().backward()
            else:
                transformer(x, torch.empty(b, t), text, None).float().square().mean().backward()
    return StepMemory(
        weights=weights,
        gradients=gradients,
        optimizer=4 * values,
        activations=max(0, live.peak - gradients),
        checkpointing=checkpointing,
    )


def choose_checkpointing(plain: StepMemory, recomputed: StepMemory, device: torch.device) -> StepMemory:
    """The faster plan that fits what is free. Raises UserError, which says what would fit, where neither does."""
    free = available_memory(device)
    if free is None or plain.total <= 0.9 * free:
        return plain
    if recomputed.total <= 0.9 * free:
        return recomputed
    raise UserError(
        f"A step needs {said_size(recomputed.total)}, even with blocks recomputed, and {said_size(free)} are free: "
        "use a smaller --tokens, --rank in place of --full, or a machine with more memory."
    )


@contextmanager
def _numbers(dtype: torch.dtype) -> Iterator[None]:
    """New parameters in that dtype: moving those of a dry run there is not possible."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)
