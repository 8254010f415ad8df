"""Guidance and known frames: functions that make a velocity out of velocities."""

# Letters: b batch, c channels, t h w latent grid

from __future__ import annotations

from collections.abc import Callable

import torch

from sorairo.flow.path import interpolate, velocity_of
from sorairo.flow.solvers import Velocity

__all__ = ["Scale", "cfg", "cfg_zero", "guided", "with_known"]

Levels = torch.Tensor | float  # one for all, or (b t)
Scale = float | Callable[[float], float]  # one for all levels, or of a sigma


def cfg(asked: torch.Tensor, other: torch.Tensor, scale: float) -> torch.Tensor:
    """other + scale * (asked - other); 1 is off. Source: Ho & Salimans 2022, equation 6."""
    return other + scale * (asked - other)


def cfg_zero(asked: torch.Tensor, other: torch.Tensor, scale: float) -> torch.Tensor:
    """cfg() from that multiple of the other that lies nearest to what was asked for, in each clip.

    Source: Fan et al. 2025 (CFG-Zero*, arXiv 2503.18886), section 4.1.
    """
    a, o = asked.flatten(1), other.flatten(1)
    nearest = (a * o).sum(dim=1) / (o.square().sum(dim=1) + 1e-8)  # b
    return cfg(asked, other * nearest.view(-1, *[1] * (asked.ndim - 1)), scale)


def guided(
    both: Callable[[torch.Tensor, Levels], tuple[torch.Tensor, torch.Tensor]],
    asked: Callable[[torch.Tensor, Levels], torch.Tensor],
    scale: Scale,
    *,
    interval: tuple[float, float] = (0.0, 1.0),
    by: Callable[[torch.Tensor, torch.Tensor, float], torch.Tensor] = cfg,
) -> Callable[[torch.Tensor, Levels], torch.Tensor]:
    """A velocity under guidance.

    both: gives (as asked, otherwise) in one call. asked: the first alone, used outside the interval of sigma
    (low, high) and where the scale is 1, at half the cost. Of frames with levels of their own the highest counts.
    by: how the two become one, cfg or cfg_zero.
    Source of the interval: Kynkaanniemi et al. 2024.
    """
    low, high = interval

    def velocity(x: torch.Tensor, sigma: Levels) -> torch.Tensor:
        top = sigma.max().item() if isinstance(sigma, torch.Tensor) else sigma
        here = scale(top) if callable(scale) else scale
        if here == 1 or not low <= top <= high:
            return asked(x, sigma)
        return by(*both(x, sigma), here)

    return velocity


def with_known(
    velocity: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    known: torch.Tensor,
    noise: torch.Tensor,
    cap: torch.Tensor,
    *,
    own: torch.Tensor | None = None,
    pinned: torch.Tensor | None = None,
) -> Velocity:
    """A velocity that leads each known frame to its latents.

    velocity(x, sigma (b t)): of latents whose frames have their own levels. known, noise: (b c t h w). cap:
    (b t), the level down to which a frame is known: 0 exactly, 1 not at all, between: an edit that starts
    there. own: (b t) bool, the frames that the model was trained to see at a level of their own (None: all).
    pinned: (b 1 t h w) bool, positions that are known exactly within frames that are not.

    Down to its cap a known frame follows the straight line from its noise to its latents, whatever the solver.
    Meanwhile the model sees it at its cap: clean if it is held exactly. Below the cap the model decides. Where
    frames may not have a level of their own, and at pinned positions, the model sees the point on the line: the
    known latents with the noise of the step. That needs no training (Lugmayr et al. 2022, equation 8).
    """

    def led(x: torch.Tensor, sigma: float) -> torch.Tensor:
        straight = velocity_of(known, noise)
        line = frames(cap < sigma)
        if pinned is not None:
            line = line | pinned
        if bool(line.all()):
            return straight.expand_as(x)
        level = cap.clamp_max(sigma)  # b t
        if own is not None:
            level = torch.where(own, level, sigma)
        seen = torch.where(frames(level < sigma), interpolate(known, noise, level), x)
        return torch.where(line, straight, velocity(seen, level))

    return led


def frames(which: torch.Tensor) -> torch.Tensor:
    """(b t) -> (b 1 t 1 1)."""
    return which[:, None, :, None, None]
