"""Which clips of mixed sizes and lengths make a step, so that each has about the same cost and every clip its turn.

Legend: c channels, t h w latent grid, n clips of a step, k kinds of a state map, l words, d width of a word's state.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

__all__ = ["MixedBatch", "Pick", "pack_steps"]

Shape = tuple[int, int, int]  # t h w of latents


@dataclass(frozen=True, kw_only=True)
class MixedBatch:
    """latents: a process's clips (c t h w), those of one shape side by side. places: of each, its number among the n.

    text: (b l d), zeros behind the words. lengths: (b). shapes: of all n clips of the step. maps: uint8 (k t h w) of
    all n, or None.
    """

    latents: tuple[Tensor, ...]
    places: tuple[int, ...]
    shapes: tuple[Shape, ...]
    text: Tensor
    lengths: Tensor
    maps: tuple[Tensor, ...] | None = None


@dataclass(frozen=True)
class Pick:
    """clip: its number. frames: how many latent frames of it are taken: all, or the first."""

    clip: int
    frames: int


def pack_steps(
    shapes: Sequence[Shape],
    *,
    steps: int,
    budget: float,
    per_clip: float,
    per_position: float,
    stills: float,
    rng: np.random.Generator,
) -> list[list[Pick]]:
    """The clips of each of `steps` steps. A clip costs per_clip, and per_position for each of its latents.

    All clips come once in random order, then all again; the row is cut every `budget`, so no clip is passed over
    because it does not fit. stills: the share of clips that give their first frame alone. A step has at least one clip:
    the budget is raised to the dearest clip.
    """
    sizes = np.array(shapes, dtype=np.int64)  # clips 3
    each = sizes[:, 1] * sizes[:, 2]
    budget = max(budget, per_clip + per_position * float((sizes[:, 0] * each).max()))
    chosen: list[list[Pick]] = [[] for _ in range(steps)]
    begun = 0.0
    while begun < steps * budget:
        order = rng.permutation(len(sizes))
        frames = np.where(rng.random(len(order)) < stills, 1, sizes[order, 0])
        costs = per_clip + per_position * frames * each[order]
        starts = begun + np.concatenate([[0.0], np.cumsum(costs)])
        for clip, taken, start in zip(order.tolist(), frames.tolist(), starts, strict=False):
            if start < steps * budget:
                chosen[int(start // budget)].append(Pick(clip, taken))
        begun = float(starts[-1])
    return chosen
