"""Shots -> clips of sizes and lengths that a model takes: which, and how they are read from their files.

Legend: t h w frames.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from sorairo.data.build.figures import Shot
from sorairo.data.build.settings import Filters, Target
from sorairo.types import UserError
from sorairo.video.guards import decoding
from sorairo.video.moments import SLACK, Moment, at_rate
from sorairo.video.read import moments_of
from sorairo.video.resize import fitted

__all__ = ["Clip", "cut", "read_clips"]


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A clip that is to be encoded, and all that is needed to read it.

    id: by the content of its file, so that it means the same under another name. file: its name below the folder.
    start, stop: the frames of its shot in the file; end: the second at which the shot ends. first: its first frame
    within the shot at fps. box: (left, top, right, bottom), what of a frame is taken.
    """

    id: str
    file: str
    sha256: str
    shot: int
    start: int
    stop: int
    end: float
    first: int
    frames: int
    size: tuple[int, int]
    fps: float
    box: tuple[int, int, int, int]


def cut(
    shot: Shot, number: int, file: str, sha256: str, target: Target, filters: Filters
) -> list[Clip] | str:
    """The clips of a shot, or why there is none. number: of the shot in its file, from 1."""
    left, top, right, bottom = shot.box
    size = _size((right - left, bottom - top), target.sizes, filters.upscale)
    if size is None:
        least = min(target.sizes)
        return f"its picture is {right - left}x{bottom - top}, too small for {least[0]}x{least[1]}"
    still = shot.stop - shot.start == 1
    count = 1 if still else max(1, round((shot.end - shot.begin) * target.fps))
    fitting = [length for length in target.lengths if length <= count and (length > 1 or still)]
    if not fitting:
        if still:
            return "it is a still picture: add 1 to --frames to keep those"
        return (
            f"it has {count} frames at {target.fps:g} a second, and {min(target.lengths)} are needed"
            if min(target.lengths) > 1
            else "it moves, and only stills are wanted"
        )
    length, rate = max(fitting), (shot.stop - shot.start) / max(shot.end - shot.begin, 1e-9)
    if not still and rate < filters.rate * target.fps * (1 - 1e-6):
        return (
            f"it has {rate:.3g} frames a second, and the model takes {target.fps:g}: at least "
            f"{filters.rate * target.fps:.3g} are needed"
        )
    return [
        Clip(
            id=f"{sha256[:20]}-{shot.start}-{part * length}-{length}-{size[0]}x{size[1]}",
            file=file,
            sha256=sha256,
            shot=number,
            start=shot.start,
            stop=shot.stop,
            end=shot.end,
            first=part * length,
            frames=length,
            size=size,
            fps=target.fps,
            box=shot.box,
        )
        for part in range(min(filters.per_shot, count // length))
    ]


def _size(
    picture: tuple[int, int], sizes: Sequence[tuple[int, int]], upscale: float
) -> tuple[int, int] | None:
    """The size that loses least of a picture; of those about as good the largest. None: all need more than upscale."""

    def lost(size: tuple[int, int]) -> float:
        ratio = size[0] * picture[1] / (size[1] * picture[0])
        return 1 - min(ratio, 1 / ratio)

    enough = [size for size in sizes if max(size[0] / picture[0], size[1] / picture[1]) <= upscale]
    return min(enough, key=lambda size: (round(lost(size), 1), -size[0] * size[1]), default=None)


def read_clips(path: Path, clips: Sequence[Clip]) -> Iterator[np.ndarray]:
    """The frames (t h w 3) of clips of one file, in order of their starts, in one pass over it.

    Raises UserError for a file that cannot be read, or is another now.
    """
    waiting = list(clips)
    assert waiting == sorted(waiting, key=lambda clip: (clip.start, clip.first))
    with decoding(path):
        moments = enumerate(moments_of(path, most=None))
        while waiting:
            shot = [clip for clip in waiting if clip.start == waiting[0].start]
            waiting = waiting[len(shot) :]
            yield from _of_shot(path, _shot_moments(moments, shot[0]), shot)


def _of_shot(path: Path, moments: Iterator[Moment], clips: list[Clip]) -> Iterator[np.ndarray]:
    frames: list[np.ndarray] = []
    one = clips[0]
    left, top, right, bottom = one.box
    last, picture = None, None
    for index, moment in enumerate(at_rate(moments, one.fps) if one.frames > 1 else moments):
        if index < one.first:
            continue
        if moment is not last or picture is None:
            last, picture = moment, fitted(moment.picture()[top:bottom, left:right], one.size)
        frames.append(picture)
        if len(frames) == one.frames:
            yield np.stack(frames)
            clips, frames = clips[1:], []
            if not clips:
                break
            one = clips[0]
    if clips:
        raise UserError(f"{path} has fewer frames than when it was looked at.")
    for _ in moments:  # to the end of the shot, where the next one may begin
        pass


def _shot_moments(moments: Iterator[tuple[int, Moment]], clip: Clip) -> Iterator[Moment]:
    """The moments of a clip's shot, their times from its beginning, the last to its end."""
    begin = None
    for index, moment in moments:
        if index < clip.start:
            continue
        begin = moment.time if begin is None else begin
        yield replace(moment, time=moment.time - begin, length=max(clip.end - moment.time, SLACK))
        if index == clip.stop - 1:
            return
