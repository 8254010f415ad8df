"""A file as a stream of moments: pictures with their times, each converted only when it is wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sorairo.types import UserError
from sorairo.video.guards import MAX_BYTES, check_extent

__all__ = ["SLACK", "Moment", "at_rate", "gathered", "mean_rate"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Moment:
    """One frame of a file. time: seconds since the first; length: seconds that it is shown, 0 if not said.

    picture: gives uint8 RGB (h w 3), upright, at the size that a screen shows.
    """

    time: float
    length: float
    picture: Callable[[], np.ndarray]


SLACK = 0.01
"""Seconds by which a moment may come late and still be meant: a GIF counts in hundredths."""


def at_rate(moments: Iterable[Moment], fps: float) -> Iterator[Moment]:
    """The moments that a screen shows at 0, 1/fps, 2/fps, ... seconds; some come twice, others never."""
    before: Moment | None = None
    made = 0
    for moment in moments:
        while before is not None and made / fps + SLACK < moment.time:
            yield before
            made += 1
        before = moment
    if before is None:
        return
    for _ in range(made, max(1, round((before.time + before.length) * fps))):
        yield before


def mean_rate(times: list[float], lengths: list[float]) -> float:
    """Frames per second of frames with these times and lengths in seconds; 0 when they do not say."""
    if not times or times[-1] + lengths[-1] <= 0:
        return 0.0
    if lengths[-1] > 0:
        return len(times) / (times[-1] + lengths[-1])
    return (len(times) - 1) / times[-1]


def gathered(path: Path, pictures: Iterable[np.ndarray], max_frames: int) -> np.ndarray:
    """Frames (t h w 3), counted and weighed while they come so that a huge file stops early. Raises UserError."""
    frames: list[np.ndarray] = []
    size = 0
    for picture in pictures:
        frames.append(picture)
        size += picture.nbytes
        check_extent(path, picture.shape[1], picture.shape[0], len(frames), max_frames)
        if size > MAX_BYTES:
            raise UserError(f"{path} is too long for its size; cut it or make it smaller.")
        if picture.shape != frames[0].shape:
            raise UserError(f"{path} changes its size on the way; convert it to one size.")
    if not frames:
        raise UserError(f"{path} holds no frames.")
    return np.stack(frames)
