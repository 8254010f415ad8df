"""The noise levels that a solver visits: from 1 down to 0, as plain numbers."""

from __future__ import annotations

from collections.abc import Sequence

from sorairo.flow.times import shifted

__all__ = ["dpmpp_sigmas", "from_level", "sigmas_at", "timestep_of", "unipc_sigmas", "with_even_tail"]


def unipc_sigmas(steps: int, shift: float = 1.0, *, train_steps: int = 1000) -> list[float]:
    """steps + 1 levels, as diffusers' UniPC makes them with use_flow_sigmas and flow_shift = shift.

    The first is a hair below 1, where log((1 - sigma) / sigma) is still finite.
    """
    step = (1 / train_steps - 1) / steps
    levels = [shifted(1 + i * step, shift) for i in range(steps)]
    return [min(levels[0], 1 - 1e-6), *levels[1:], 0.0]


def dpmpp_sigmas(steps: int, shift: float = 1.0, *, train_steps: int = 1000) -> list[float]:
    """steps falling levels, as diffusers' DPM++ makes them with use_flow_sigmas and flow_shift = shift.

    In its order of operations, since whole timesteps are cut off from them: 0.333 and a hair less are one apart.
    """
    step = (1 / train_steps - 1) / steps
    kept = [1 / train_steps, *(1 + i * step for i in range(steps - 1, 0, -1))]
    return [shifted(1.0 - value, shift) for value in kept]


def sigmas_at(timesteps: Sequence[float], *, train_steps: int = 1000) -> list[float]:
    """The levels of given timesteps, falling, and 0 after them."""
    return [*(timestep / train_steps for timestep in timesteps), 0.0]


def from_level(sigmas: list[float], level: float) -> list[float]:
    """The part of a schedule that begins at a noise level: `level`, then those below it. At 1 all of it."""
    return sigmas if level >= sigmas[0] else [level, *(sigma for sigma in sigmas if sigma < level)]


def with_even_tail(sigmas: list[float], start: float = 0.5, steps: int = 10) -> list[float]:
    """The part of a schedule above a level, and as many even levels from there to 0.

    Source: LongCat-Video's code (enhance_hf), for clips that go on from known frames: more steps where detail is made.
    """
    return [
        *(sigma for sigma in sigmas if sigma > start),
        *(start * (1 - i / steps) for i in range(steps)),
        0.0,
    ]


def timestep_of(sigma: float, *, train_steps: int = 1000) -> int:
    """The whole timestep that diffusers' UniPC names a level by: train_steps * sigma, cut off."""
    return int(sigma * train_steps)
