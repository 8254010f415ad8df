"""Which moments the latent frames of a scene stand for.

Legend: n clips, k slots, t latent frames, f frames, c numbers.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

__all__ = ["at_frames", "groups_of", "middles"]


def middles(count: int, time_factor: int) -> np.ndarray:
    """The middle of what each latent frame stands for, in frames: (t). The first is a frame of its own."""
    return np.r_[0.0, 1 + time_factor * np.arange(count - 1) + (time_factor - 1) / 2]


def groups_of(count: int, time_factor: int) -> list[range]:
    """The frames that each latent frame stands for."""
    starts = range(1, 1 + time_factor * (count - 1), time_factor)
    return [range(1), *(range(start, start + time_factor) for start in starts)]


def at_frames(values: Tensor, time_factor: int) -> Tensor:
    """What holds for latent frames (n [k] t c) at every frame: (n [k] f c). Straight from middle to middle."""
    count = values.shape[-2]
    frames = np.arange(1 + (count - 1) * time_factor)
    parts = [np.interp(frames, middles(count, time_factor), one) for one in np.eye(count)]
    return torch.from_numpy(np.stack(parts, -1).astype("f4")) @ values.float()
