"""Files into frames, by the format that their first bytes name (formats.py)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any

from sorairo.types import UserError, Video
from sorairo.video.clips import clip_comment, clip_moments, clip_notes
from sorairo.video.formats import format_of
from sorairo.video.guards import MAX_FRAMES, checked, decoding
from sorairo.video.moments import Moment, at_rate, gathered, mean_rate
from sorairo.video.pictures import check_colour, picture_comment, picture_moments, picture_notes
from sorairo.video.resize import check_fit, fitted

__all__ = [
    "moments_of",
    "read_clip",
    "read_given",
    "read_metadata",
    "read_notes",
    "read_size",
    "read_still",
    "read_video",
]


def read_video(path: str | Path, *, background: str = "white", max_frames: int = MAX_FRAMES) -> Video:
    """The frames of a clip or a still as they are, upright, with transparency laid on `background`.

    A still is one frame at 1 frame per second; a variable frame rate becomes its average. The first bytes tell the
    format, not the name. Raises UserError for a file that is missing, broken, empty or too large.
    """
    path = checked(Path(path))
    times: list[float] = []
    lengths: list[float] = []

    def pictures() -> Iterator[Any]:
        for moment in moments_of(path, background, max_frames):
            times.append(moment.time)
            lengths.append(moment.length)
            yield moment.picture()

    with decoding(path):
        frames = gathered(path, pictures(), max_frames)
    return Video(frames=frames, fps=(mean_rate(times, lengths) if len(frames) > 1 else 0.0) or 1.0)


def read_given(
    path: str | Path, size: tuple[int, int], fps: float, fit: str = "crop", *, background: str = "white"
) -> Video:
    """A clip or a still at `size` (width, height) and `fps`: the frames shown at those moments, sized as they are read.

    fit: "crop" cuts what is too much, "letterbox" adds black bars, "stretch" does neither. background: the colour
    (a name or #rrggbb) that transparency is laid on. A still is one frame. Raises UserError as `read_video`.
    """
    if not (fps > 0 and math.isfinite(fps)):
        raise UserError(f"Frames per second must be more than 0, not {fps:g}.")
    path = checked_ask(path, fit, background)
    with decoding(path):
        moments = iter(moments_of(path, background))
        begin = list(islice(moments, 2))  # one picture is a still, however long the file shows it
        moments = begin if len(begin) < 2 else at_rate(chain(begin, moments), fps)
        frames = gathered(path, (fitted(one.picture(), size, fit) for one in moments), MAX_FRAMES)
    return Video(frames=frames, fps=fps)


def read_clip(
    path: str | Path, size: tuple[int, int], fps: float, fit: str = "crop", *, background: str = "white"
) -> Video:
    """As `read_given`, for what must move. Raises UserError for a still too."""
    path = checked_ask(path, fit, background)
    if not moves(path, background):
        raise UserError(f"{path} is a still picture; a clip of two frames or more is needed here.")
    return read_given(path, size, fps, fit, background=background)


def read_still(
    path: str | Path, size: tuple[int, int], fit: str = "crop", *, background: str = "white"
) -> Video:
    """As `read_given`, one frame of a file that holds no more. Raises UserError for a clip too."""
    path = checked_ask(path, fit, background)
    if moves(path, background):
        raise UserError(f"{path} is a clip; a still picture (such as PNG or JPEG) is needed here.")
    return read_given(path, size, 1.0, fit, background=background)


def read_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of a file's first frame, upright. Raises UserError as `read_video`."""
    path = checked(Path(path))
    with decoding(path):
        for moment in moments_of(path, "white"):
            height, width = moment.picture().shape[:2]
            return width, height
    raise UserError(f"{path} holds no frames.")


def moves(path: Path, background: str) -> bool:
    """Whether a file holds two frames or more."""
    with decoding(path):
        return len(list(islice(moments_of(path, background), 2))) > 1


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `write_video` was given as metadata; empty when the file holds none. Raises as `read_video`."""
    path = checked(Path(path))
    with decoding(path):
        by_pillow = format_of(path).demuxer in ("", "gif")
        text = picture_comment(path) if by_pillow else clip_comment(path)
    try:
        values = json.loads(text) if text else {}
    except (ValueError, RecursionError):  # somebody else's comment, perhaps a number of a million digits
        return {}
    return values if isinstance(values, dict) else {}


def read_notes(path: str | Path) -> tuple[str, ...]:
    """Sentences for the user on how a file is read: an end that its format cannot tell, HDR, several sound tracks.

    Raises as `read_video`.
    """
    path = checked(Path(path))
    with decoding(path):
        return tuple((picture_notes if format_of(path).picture else clip_notes)(path))


def moments_of(path: Path, background: str = "white", most: int | None = MAX_FRAMES) -> Iterator[Moment]:
    """The frames of a file with their times, each converted when it is wanted. most: None for a file of any length."""
    return (picture_moments if format_of(path).picture else clip_moments)(path, background, most)


def checked_ask(path: str | Path, fit: str, background: str) -> Path:
    check_fit(fit)
    check_colour(background)
    return checked(Path(path))
