"""A clip in reverse, as a way back from its end to its beginning."""

from __future__ import annotations

import numpy as np

__all__ = ["backward"]


def backward(frames: np.ndarray, count: int) -> np.ndarray:
    """`count` of the frames (t h w 3) that lead from behind the last back to before the first.

    As much changes from each to the next wherever among them it lies, but ever less towards both ends, where what
    moves has to turn round.
    """
    change = np.abs(np.diff(frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    path = np.concatenate([[0.0], np.cumsum(change)])
    u = np.arange(1, count + 1) / (count + 1)
    left = path[-1] * (1 - u * u * (3 - 2 * u))  # of the path, at each frame
    nearest = np.abs(path - left[:, None]).argmin(axis=1)
    return frames[nearest]
