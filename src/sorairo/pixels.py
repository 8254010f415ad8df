"""Levels 0 to 255 on screens and in files, [-1, 1] in models: the one place where each becomes the other."""

# Letters: b batch, t frames, h w pixels

from __future__ import annotations

import numpy as np
import torch

__all__ = ["from_frames", "from_levels", "to_frames", "to_levels"]

HALF = 127.5


def from_levels(levels: torch.Tensor) -> torch.Tensor:
    """uint8 of any shape -> float32 in [-1, 1]."""
    return levels.float() / HALF - 1


def to_levels(pixels: torch.Tensor) -> torch.Tensor:
    """Pixels of any shape, where -1 is black and 1 white -> the nearest levels, uint8; what is beyond is cut off."""
    return ((pixels.float() + 1) * HALF).round().clamp(0, 255).to(torch.uint8)


def from_frames(frames: np.ndarray) -> torch.Tensor:
    """The frames of a Video, uint8 (t h w 3) -> what a codec encodes, float32 (1 3 t h w) in [-1, 1]."""
    return from_levels(torch.from_numpy(np.ascontiguousarray(frames)).permute(3, 0, 1, 2)[None])


def to_frames(pixels: torch.Tensor) -> np.ndarray:
    """What a codec decodes, (b 3 t h w) in [-1, 1] -> frames, uint8 (b t h w 3)."""
    return to_levels(pixels).permute(0, 2, 3, 4, 1).cpu().numpy()
