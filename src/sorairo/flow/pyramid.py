"""A pyramid of sizes: a clip is led to data at a quarter of its size, then at half, then whole, few steps at each.

Source: Jin et al. 2024 (pyramidal flow matching, arXiv 2410.05954), section 3.2; the numbers of diffusers'
HeliosDMDScheduler, with which Helios-Distilled was trained.
"""

# Letters: b batch, c channels, t h w latent grid

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from sorairo.flow.times import shifted

__all__ = ["Level", "Pyramid", "descend", "smallest"]

TRAINED = 1000
"""Levels of training, from HIGHEST down to just above 0."""
HIGHEST = 0.999
Noise = Callable[[torch.Size], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Level:
    """One step. timestep: what the model is told. sigma: where it is between the stage's end (0) and its start (1)."""

    timestep: int
    sigma: float


@dataclass(frozen=True, kw_only=True)
class Pyramid:
    """stages: sizes, each twice the one before. ranges: the training levels of each, 0 the noisiest and 1 the last.
    gamma: how strongly the noise of a patch's neighbours is opposed, where a size begins."""

    stages: int = 3
    ranges: tuple[float, ...] = (0.0, 1 / 3, 2 / 3, 1.0)
    gamma: float = 1 / 3

    @property
    def smaller(self) -> int:
        """By how much the smallest size is smaller."""
        return 2 ** (self.stages - 1)

    def start(self, stage: int) -> float:
        """The training level at which a stage begins."""
        return level(int(self.ranges[stage] * TRAINED))

    def mix(self, stage: int) -> tuple[float, float]:
        """By what the enlarged latents and new noise are multiplied where a stage after the first begins."""
        noise = self.start(stage)
        kept = 1 / (math.sqrt(1 + 1 / self.gamma) * noise + 1 - noise)
        return kept, kept * noise / math.sqrt(self.gamma)

    def timesteps(self, stage: int) -> tuple[float, float]:
        """The timesteps between which a stage lies: its share of the whole way, measured along all stages."""
        lengths = [self._begins(one) - self._ends(one) for one in range(self.stages)]
        before, until = sum(lengths[:stage]) / sum(lengths), sum(lengths[: stage + 1]) / sum(lengths)
        until = until if stage < self.stages - 1 else 0.9999999999999999
        high = min(1000 * level(int(before * TRAINED)), 999.0)
        low = 1000 * level(min(int(until * TRAINED), TRAINED - 1))
        return high, high + (low - high) * (TRAINED - 1) / TRAINED

    def levels(self, stage: int, steps: int, shift: float) -> list[Level]:
        """The steps of a stage."""
        high, low = self.timesteps(stage)
        even = np.linspace(HIGHEST, HIGHEST / TRAINED, steps + 1)[:-1]
        sigmas = [shifted(float(sigma), shift) for sigma in even]
        if shift == 1:
            times = np.linspace(high, low, steps + 1)[:-1].tolist()
        else:
            times = [low + sigma * (high - low) for sigma in sigmas]
        return [Level(timestep=int(time), sigma=sigma) for time, sigma in zip(times, sigmas, strict=True)]

    def _begins(self, stage: int) -> float:
        signal = 1 - self.start(stage)
        return 1 - signal * self.mix(stage)[0] if stage else self.start(stage)

    def _ends(self, stage: int) -> float:
        last = int(self.ranges[stage + 1] * TRAINED)
        return level(last) if last < TRAINED else 0.0


def level(number: int) -> float:
    """The level of training of a number, 0 the highest."""
    return HIGHEST - number * HIGHEST / TRAINED


def smallest(noise: torch.Tensor, pyramid: Pyramid) -> torch.Tensor:
    """Noise (1 c t h w) at the smallest size, as strong as before."""
    frames = noise[0].transpose(0, 1)  # t c h w
    for _ in range(pyramid.stages - 1):
        frames = 2 * F.interpolate(frames, scale_factor=0.5, mode="bilinear")
    return frames.transpose(0, 1)[None]


def enlarged(
    x: torch.Tensor, pyramid: Pyramid, stage: int, side: int, noises: torch.Generator
) -> torch.Tensor:
    """Latents (1 c t h w) at twice the size, with noise; the `side` x `side` values of a patch oppose each other."""
    kept, new = pyramid.mix(stage)
    x = F.interpolate(x[0].transpose(0, 1), scale_factor=2, mode="nearest").transpose(0, 1)[None]
    _, c, t, h, w = x.shape
    values = side * side
    # the least eigenvalue at 1/3 is these 1e-8, which float32 loses: diffusers' own factorisation fails there on a CPU
    spread = torch.eye(values, dtype=torch.float64) * (1 + pyramid.gamma + 1e-8) - pyramid.gamma
    drawn = torch.randn(c * t * (h // side) * (w // side), values, generator=noises)
    noise = (drawn @ torch.linalg.cholesky(spread).T.float()).view(1, c, t, h // side, w // side, side, side)
    return kept * x + new * noise.transpose(4, 5).reshape(x.shape).to(x.device)


def descend(
    velocity: Callable[[torch.Tensor, int], torch.Tensor],
    noise: torch.Tensor,
    pyramid: Pyramid,
    *,
    steps: int,
    shift: Callable[[torch.Tensor], float],
    side: int,
    noises: torch.Generator,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Data (1 c t h w) from noise of that shape.

    velocity(x, timestep). steps: of each stage. shift: of the latents that a stage begins with. side: of a patch.
    noises: draws what a new size begins with. callback: (step, the predicted data at the stage's size), after every
    step. Each step goes all the way to the data, and from there back towards the stage's start.
    """
    x, done = smallest(noise, pyramid), 0
    for stage in range(pyramid.stages):
        levels = pyramid.levels(stage, steps, shift(x))  # of the size before, as in training
        if stage:
            x = enlarged(x, pyramid, stage, side, noises)
        start = x
        for here, there in zip(levels, [*levels[1:], None], strict=True):
            data = x - here.sigma * velocity(x, here.timestep)
            x = data if there is None else (1 - there.sigma) * data + there.sigma * start
            if callback:
                callback(done, data)
            done += 1
    return x
