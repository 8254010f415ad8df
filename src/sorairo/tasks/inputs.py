"""The input clips and pictures of a verb, at the size and frame rate of the output."""

from __future__ import annotations

import math

import numpy as np

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.types import UserError, Video

__all__ = ["at_rate", "fitted", "nearest_size", "need_clip", "size_for"]


def fitted(video: Video, model: Abilities, size: tuple[int, int], fit: str = "crop") -> Video:
    """`video` at a size (width, height) and at the model's frame rate; itself if it has both. fit: see Ask."""
    from sorairo.video.resize import resize  # brings PyAV with it, which words alone do without

    return resize(at_rate(video, model.fps), size, fit=fit)


def at_rate(video: Video, fps: float) -> Video:
    """`video` at another frame rate: the frames that a screen shows at 0, 1/fps, ... seconds.

    The same as reading a file at that rate (video/moments.py); files may have a variable rate.
    """
    from sorairo.video.moments import SLACK

    count = len(video)
    if count == 1 or abs(video.fps / fps - 1) < 0.01:
        return video if video.fps == fps else Video(frames=video.frames, fps=fps)
    times = np.arange(max(1, round(count * fps / video.fps))) / fps
    frames = np.minimum(((times + SLACK) * video.fps).astype(int), count - 1)
    return Video(frames=video.frames[frames], fps=fps)


def size_for(video: Video, model: Abilities, ask: Ask) -> tuple[int, int]:
    """The requested size, or the model's size that suits a video."""
    return ask.size or nearest_size(video.size, model)


def nearest_size(given: tuple[int, int], model: Abilities) -> tuple[int, int]:
    """Of the model's own sizes the one whose shape, then area, is nearest to a given (width, height)."""
    width, height = given

    def far(size: tuple[int, int]) -> tuple[float, float]:
        shape = math.log(size[0] / size[1] * height / width)
        return round(abs(shape), 3), abs(math.log(size[0] * size[1] / (width * height)))

    return min(model.sizes, key=far)


def need_clip(video: Video, verb: str, instead: str) -> None:
    """Raise UserError for a still where a verb needs something that moves. instead: what to do."""
    if len(video) < 2:
        raise UserError(f"{verb} needs a clip, and this is a still, one frame long; {instead}.")
