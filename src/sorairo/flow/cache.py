"""Steps that are predicted instead of computed: caching without training, with its error measured on the way.

Along its path a velocity changes slowly, mostly along a line. Each computed velocity shows the error of predicting it
from the two before, and so how far the next prediction may reach before its error is too large.
After EasyCache (Zhou et al. 2025, arXiv 2507.02860), which repeats the last v - x while a sum of the input's changes is
small; a line with a measured share is closer at the same number of steps (bench/cache.py).
"""

# Letters: b batch, c channels, t h w latent grid

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from sorairo.types import UserError

__all__ = ["CacheConfig", "cached"]

Levels = torch.Tensor | float  # one for all, or (b t)
AnyVelocity = Callable[[torch.Tensor, Levels], torch.Tensor]

REACH = 3
"""A prediction reaches at most this many times the distance of the one before."""
TRUST = 0.5
"""A good prediction may be luck, so the estimated bend falls by this factor at most."""


@dataclass(frozen=True, kw_only=True)
class CacheConfig:
    """When a step is predicted.

    tolerance: the largest expected error of its velocity, norm over norm; 0 computes all. first, last: the number of
    steps at both ends that are always computed, first at least 2.
    """

    tolerance: float = 0.2
    first: int = 3
    last: int = 1

    def __post_init__(self) -> None:
        if not self.tolerance >= 0:
            raise UserError(
                f"A cache's tolerance is 0 (all steps are computed) or more, not {self.tolerance:g}."
            )


def cached(velocity: AnyVelocity, sigmas: Sequence[float], config: CacheConfig | None) -> AnyVelocity:
    """A velocity that calls `velocity` only where it cannot predict it. With config None, `velocity` itself.

    velocity(x, sigma): one clip (1 c t h w), sigma a number or (1 t), whose highest counts. Wrap it around guidance and
    inside `with_known`. sigmas: of the solver, which calls once a step. After the last step the state is reset, so
    nothing passes from one generation to the next.
    """
    if config is None:
        return velocity
    steps, first, last = len(sigmas) - 1, max(2, config.first), max(1, config.last)
    step, past = 0, _Past()

    def asked(x: torch.Tensor, sigma: Levels) -> torch.Tensor:
        nonlocal step, past
        if step == 0:
            past = _Past()
        level = sigma.max().item() if isinstance(sigma, torch.Tensor) else sigma
        inner = first <= step < steps - last
        step = (step + 1) % steps
        if inner and len(past.points) == 2 and past.error_at(level) < config.tolerance:
            return past.predicted(level)
        made = velocity(x, sigma)
        past.learn(level, made)
        return made

    return asked


class _Past:
    """The last two computed velocities, and how well the last could have been predicted.

    share: how much of the line through the two is believed, 0 (the last velocity repeated) to 1. bend: what a line
    misses at distance d, after two points g apart, over d (d + g): half the second derivative over the velocity.
    """

    def __init__(self) -> None:
        self.points: list[tuple[float, torch.Tensor]] = []  # (sigma, velocity)
        self.share = 0.0
        self.bend = math.nan

    def error_at(self, level: float) -> float:
        """The relative error expected of predicted(level); nan while nothing is known, inf where it is too far off."""
        gap, distance = self._spans(level)
        return self.bend * distance * (distance + gap) if distance <= REACH * gap else math.inf

    def predicted(self, level: float) -> torch.Tensor:
        return self.points[-1][1] + self.share * self._along(level)

    def learn(self, level: float, made: torch.Tensor) -> None:
        if self.points and level == self.points[-1][0]:  # nothing is seen of how it changes
            self.points[-1] = level, made
            return
        if len(self.points) == 2:
            gap, distance = self._spans(level)
            along, change = self._along(level), made - self.points[-1][1]
            off = ((change - self.share * along).norm() / made.norm()).item()
            bend = off / (distance * (distance + gap))
            self.bend = bend if math.isnan(self.bend) else max(bend, TRUST * self.bend)
            share = ((change * along).sum() / along.square().sum()).item()
            self.share = min(max(share, 0.0), 1.0) if math.isfinite(share) else 0.0
        self.points = [*self.points[-1:], (level, made)]

    def _spans(self, level: float) -> tuple[float, float]:
        """(between the two points, from the last of them to level), in sigma."""
        (then, _), (now, _) = self.points
        return abs(now - then), abs(level - now)

    def _along(self, level: float) -> torch.Tensor:
        """What the line through both velocities adds to the last on the way to level."""
        (then, before), (now, last) = self.points
        return (level - now) / (now - then) * (last - before)
