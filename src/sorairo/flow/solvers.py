"""Solvers: free functions that carry x from sigmas[0] to sigmas[-1] along a velocity.

Each asks `velocity(x, sigma)` once a step, and calls `callback(step, x)` after it. sigmas: falling numbers,
all below 1 (the multistep solvers take logarithms of 1 - sigma), the last one may be 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch

from sorairo.flow.path import data_at, interpolate

__all__ = ["SOLVERS", "Solver", "Velocity", "dpmpp_2m", "euler", "renoise", "unipc"]

Velocity = Callable[[torch.Tensor, float], torch.Tensor]
Callback = Callable[[int, torch.Tensor], None]
Solver = Callable[[Velocity, torch.Tensor, Sequence[float], Callback | None], torch.Tensor]


def log_snr(sigma: float) -> float:
    """lambda = log((1 - sigma) / sigma), the half log signal-to-noise ratio; inf at sigma = 0."""
    return math.inf if sigma == 0 else math.log1p(-sigma) - math.log(sigma)


def euler(
    velocity: Velocity, x: torch.Tensor, sigmas: Sequence[float], callback: Callback | None = None
) -> torch.Tensor:
    """First order: one straight step at a time."""
    for step, (here, there) in enumerate(pairwise(sigmas)):
        x = x + (there - here) * velocity(x, here)
        if callback:
            callback(step, x)
    return x


def dpmpp_2m(
    velocity: Velocity, x: torch.Tensor, sigmas: Sequence[float], callback: Callback | None = None
) -> torch.Tensor:
    """DPM-Solver++(2M), second order: a line through the last two predictions of the data.

    Source: Lu et al. 2022b, algorithm 2, with alpha = 1 - sigma.
    """
    before, width = None, 0.0
    for step, (here, there) in enumerate(pairwise(sigmas)):
        data = data_at(x, velocity(x, here), here)
        h = log_snr(there) - log_snr(here)
        target = data
        if before is not None and there > 0:
            target = data + (h / (2 * width)) * (data - before)
        x = (there / here) * x - (1 - there) * math.expm1(-h) * target
        before, width = data, h
        if callback:
            callback(step, x)
    return x


def unipc(
    velocity: Velocity,
    x: torch.Tensor,
    sigmas: Sequence[float],
    callback: Callback | None = None,
    *,
    uncorrected: Sequence[int] = (),
) -> torch.Tensor:
    """UniPC-2 (B2): each new prediction of the data first corrects the step that led to it. Wan's default.

    Source: Zhao et al. 2023, algorithms 5 and 6, data prediction, B(h) = e^h - 1; the first and the last step
    are of first order. uncorrected: steps, from 0, that are left as they were. The same numbers as diffusers'
    UniPCMultistepScheduler(solver_order=2, flow_prediction, disable_corrector=uncorrected).
    """
    steps = len(sigmas) - 1
    history: list[tuple[float, torch.Tensor]] = []  # (lambda, data) of the last two levels
    last, order = x, 0
    for step, (here, there) in enumerate(pairwise(sigmas)):
        data = data_at(x, velocity(x, here), here)
        if step > 0 and step - 1 not in uncorrected:
            x = _correct(last, data, sigmas[step - 1], here, history[-order:])
        history = [*history[-1:], (log_snr(here), data)]
        order = min(2, step + 1, steps - step)
        last, x = x, _predict(x, here, there, history[-order:])
        if callback:
            callback(step, x)
    return x


def _predict(x: torch.Tensor, here: float, there: float, history: list) -> torch.Tensor:
    """UniP: x at `there` from x at `here` and the data predicted at the last one or two levels."""
    now, data = history[-1]
    h = log_snr(there) - now
    grow = math.expm1(-h)
    slope = 0.0
    if len(history) == 2:
        then, before = history[0]
        slope = 0.5 * (before - data) * (h / (then - now))
    return (there / here) * x - (1 - there) * grow * (data + slope)


def _correct(x: torch.Tensor, new: torch.Tensor, here: float, there: float, history: list) -> torch.Tensor:
    """UniC: x at `there` again, now that `new`, the data predicted there, is known."""
    now, data = history[-1]
    h = log_snr(there) - now
    grow = math.expm1(-h)
    if len(history) == 1:
        change = 0.5 * (new - data)
    else:
        then, before = history[0]
        ratio = (then - now) / h
        phi = grow / -h - 1
        b1 = phi / grow
        b2 = 2 * (phi / -h - 0.5) / grow
        rho = (b1 - b2) / (1 - ratio)
        change = rho * (before - data) / ratio + (b1 - rho) * (new - data)
    return (there / here) * x - (1 - there) * grow * (data + change)


def renoise(
    velocity: Velocity,
    x: torch.Tensor,
    sigmas: Sequence[float],
    callback: Callback | None = None,
    *,
    fresh: Callable[[], torch.Tensor],
) -> torch.Tensor:
    """All the way to the data at every step, and from there back up to the next level with fresh noise.

    For models of few steps, whose prediction is data and no mean of it; here sigmas may begin at 1. fresh: gives noise
    of x's shape, once for each level after the first that is above 0. Source: Yin et al. 2024 (DMD2, arXiv 2405.14867),
    section 4.4, on the straight path.
    """
    for step, (here, there) in enumerate(pairwise(sigmas)):
        x = data_at(x, velocity(x, here), here)
        if there > 0:
            x = interpolate(x, fresh(), there)
        if callback:
            callback(step, x)
    return x


SOLVERS = {"euler": euler, "dpmpp_2m": dpmpp_2m, "unipc": unipc}
