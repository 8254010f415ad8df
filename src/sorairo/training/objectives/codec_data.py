"""Crops of clips in pixel shards, drawn as a pure function of the seed and the step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sorairo.data.shards import read_shard
from sorairo.pixels import from_levels
from sorairo.types import UserError

__all__ = ["CropShape", "Crops", "as_model_video"]


@dataclass(frozen=True, kw_only=True)
class CropShape:
    """One kind of batch. size: (width, height) in pixels. weight: how often, relative to the others."""

    frames: int
    size: tuple[int, int]
    batch: int
    weight: float


class Crops:
    """Draws crops at random places and times, mirrored half of the time, sometimes with the colours exchanged."""

    def __init__(self, shards: Sequence[Path], shapes: Sequence[CropShape], seed: int) -> None:
        if not shards:
            raise UserError(
                "There are no clips to train the codec on: render some first (see docs/codec.md)."
            )
        self.shapes, self.seed = list(shapes), seed
        self.frames = [read_shard(path)["frames"] for path in shards]  # each n t h w 3, mapped from disk

        for shape in shapes:
            if not any(fits(shape, frames) for frames in self.frames):
                raise UserError(
                    f"There is no clip of {shape.frames} frames of {shape.size[0]}x{shape.size[1]} or more; "
                    "render some."
                )

    def batch(self, step: int) -> Tensor:
        """uint8 b t h w 3"""
        rng = np.random.default_rng((self.seed, step))
        weights = np.array([shape.weight for shape in self.shapes])
        shape = self.shapes[rng.choice(len(weights), p=weights / weights.sum())]
        return torch.stack([self.crop(shape, rng) for _ in range(shape.batch)])

    def crop(self, shape: CropShape, rng: np.random.Generator) -> Tensor:
        """uint8 t h w 3"""
        width, height = shape.size
        frames = self.frames[rng.integers(len(self.frames))]
        while not fits(shape, frames):
            frames = self.frames[rng.integers(len(self.frames))]
        n, t, h, w, _ = frames.shape
        start, top, left = (int(rng.integers(room + 1)) for room in (t - shape.frames, h - height, w - width))
        clip = frames[
            int(rng.integers(n)), start : start + shape.frames, top : top + height, left : left + width
        ]
        if rng.random() < 0.5:
            clip = clip.flip(2)
        if rng.random() < 0.3:
            clip = clip[..., torch.from_numpy(rng.permutation(3))]
        return clip

    def whole(self, shards: Sequence[Path], count: int) -> list[Tensor]:
        """The first clips of each shard in turn, `count` in all, uint8 t h w 3."""
        opened = [read_shard(path)["frames"] for path in shards]
        each = -(-count // len(opened))
        return [clip for frames in opened for clip in frames[:each]][:count]


def fits(shape: CropShape, frames: Tensor) -> bool:
    """Whether a crop of this shape can be cut from clips n t h w 3."""
    return (
        frames.shape[1] >= shape.frames
        and frames.shape[2] >= shape.size[1]
        and frames.shape[3] >= shape.size[0]
    )


def as_model_video(clips: Tensor, dtype: torch.dtype) -> Tensor:
    """uint8 b t h w 3 -> b 3 t h w in [-1, 1]"""
    return from_levels(clips).to(dtype).permute(0, 4, 1, 2, 3)
