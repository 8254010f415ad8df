"""A sampler: which solver leads noise to data, and at which levels.

Each name has the levels that its users know: `unipc` and `dpm++` those of diffusers' schedulers, `euler` and `lcm` even
ones before the shift (1, 0.75, 0.5, 0.25 of four), at which models of few steps are trained. diffusers' own Euler,
which a checkpoint may name, has levels of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch

from sorairo.flow.pyramid import Pyramid
from sorairo.flow.schedule import dpmpp_sigmas, timestep_of, unipc_sigmas
from sorairo.flow.solvers import Solver, dpmpp_2m, euler, renoise, unipc
from sorairo.flow.times import shifted
from sorairo.types import SAMPLERS, SamplerName, UserError

__all__ = ["UNIPC", "Sampler", "Spacing", "flow_match_sigmas", "sampler_named", "shift_of_tokens"]

Spacing = Literal["unipc", "dpm++", "flow_match", "even", "helios", "pyramid", "longcat"]
BELOW_ONE = 1 - 1e-6
"""The highest level whose log((1 - sigma) / sigma) is finite, which the multistep solvers take."""


@dataclass(frozen=True, kw_only=True)
class Sampler:
    """How noise becomes data.

    name: the solver. spacing: of its levels before the shift. lowest: stop at the lowest level above 0, and leave its
    noise in (diffusers' final_sigmas_type "sigma_min"). uncorrected: steps after which UniPC does not correct.
    by_tokens: how the shift follows from the number of tokens, in place of one number (shift_of_tokens).
    pyramid: the sizes at which a model of few steps makes a clip, one after another; its levels are the pyramid's own.
    grid: of how many levels, evenly from 1 down, a model of few steps takes the ones at or above even ones; 0: any.
    tail: a clip that goes on from known frames has even levels from a half down (with_even_tail).
    whole_times: the model is told whole timesteps, cut off, as diffusers' UniPC and DPM++ do.
    """

    name: SamplerName = "unipc"
    spacing: Spacing = "unipc"
    lowest: bool = False
    uncorrected: tuple[int, ...] = ()
    by_tokens: Literal["", "exponential", "linear"] = ""
    pyramid: Pyramid | None = None
    grid: int = 0
    tail: bool = False

    @property
    def whole_times(self) -> bool:
        return self.spacing in ("unipc", "dpm++")

    def timestep(self, sigma: float) -> float:
        """The timestep that the model is told of a level."""
        return float(timestep_of(sigma)) if self.whole_times else 1000 * sigma

    def sigmas(self, steps: int, shift: float) -> list[float]:
        """steps + 1 falling levels: of each step, and where the last one ends."""
        match self.spacing:
            case "unipc":
                levels = unipc_sigmas(steps, shift)[:-1]
            case "dpm++":
                levels = dpmpp_sigmas(steps, shift)
            case "helios":
                levels = [shifted(0.999 * (1 - step / steps), shift) for step in range(steps)]
            case "flow_match":
                levels = flow_match_sigmas(steps, shift)[:-1]
            case "longcat" if not self.grid:
                levels = [shifted(1 - 0.999 * step / max(1, steps - 1), shift) for step in range(steps)]
            case "longcat":
                levels = [shifted(1 - self.grid * step // steps / self.grid, shift) for step in range(steps)]
            case "even" | "pyramid":
                levels = [shifted(1 - step / steps, shift) for step in range(steps)]
        if self.name in ("unipc", "dpm++"):
            levels[0] = min(levels[0], BELOW_ONE)
        return [*levels, levels[-1] if self.lowest else 0.0]

    def solver(self, fresh: Callable[[], torch.Tensor]) -> Solver:
        """The solver as a function of (velocity, x, sigmas, callback). fresh: see `renoise`; the others need none."""
        match self.name:
            case "unipc":
                return partial(unipc, uncorrected=self.uncorrected)
            case "euler":
                return euler
            case "dpm++":
                return dpmpp_2m
            case "lcm":
                return partial(renoise, fresh=fresh)


def shift_of_tokens(tokens: int, by: str) -> float:
    """The shift for so many tokens. by: "exponential" or "linear", as diffusers' schedulers name the two.

    Source: diffusers' calculate_shift, with the numbers of its pipelines: 0.5 at 256 tokens, 1.15 at 4096.
    """
    moved = 0.5 + (1.15 - 0.5) * (tokens - 256) / (4096 - 256)
    return math.exp(moved) if by == "exponential" else moved


UNIPC = Sampler()
"""Wan's own."""


def flow_match_sigmas(steps: int, shift: float = 1.0, *, train_steps: int = 1000) -> list[float]:
    """steps + 1 levels as diffusers' FlowMatchEulerDiscreteScheduler has them.

    They are even from 1 to its lowest level, which is shifted already, and then all are shifted.
    """
    low = shifted(1 / train_steps, shift)
    even = [1 + (low - 1) * step / max(1, steps - 1) for step in range(steps)]
    return [*(shifted(level, shift) for level in even), 0.0]


def sampler_named(name: str) -> Sampler:
    """The sampler that a user asks for. Raises UserError for another name."""
    match name:
        case "unipc" | "dpm++":
            return Sampler(name=name, spacing=name)
        case "euler" | "lcm":
            return Sampler(name=name, spacing="even")
    raise UserError(f"The sampler is {', '.join(SAMPLERS[:-1])} or {SAMPLERS[-1]}, not {name!r:.40}.")
