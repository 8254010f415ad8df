"""Clips and pictures that a verb begins with, at the size and the frame rate of what is made of them."""

from __future__ import annotations

import math

import numpy as np

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.types import UserError, Video

__all__ = ["at_rate", "fitted", "need_clip", "size_for"]


def fitted(video: Video, model: Abilities, size: tuple[int, int], fit: str = "crop") -> Video:
    """`video` at a size (width, height) and at the model's frame rate; itself where it has both. fit: see Ask."""
    from sorairo.video.resize import resize  # brings PyAV with it, which words alone do without

    return resize(at_rate(video, model.fps), size, fit=fit)


def at_rate(video: Video, fps: float) -> Video:
    """`video` at another frame rate: of each moment the frame that a screen showed then. A still stays one."""
    count = len(video)
    if count == 1 or abs(video.fps / fps - 1) < 0.01:
        return video if video.fps == fps else Video(frames=video.frames, fps=fps)
    moments = (np.arange(max(2, round(count * fps / video.fps))) + 0.5) / fps
    frames = np.minimum((moments * video.fps).astype(int), count - 1)
    return Video(frames=video.frames[frames], fps=fps)


def size_for(video: Video, model: Abilities, ask: Ask) -> tuple[int, int]:
    """The size that is asked for, or of the model's own the one whose shape, then area, is nearest to a video's."""
    if ask.size:
        return ask.size
    width, height = video.size

    def far(size: tuple[int, int]) -> tuple[float, float]:
        shape = math.log(size[0] / size[1] * height / width)
        return round(abs(shape), 3), abs(math.log(size[0] * size[1] / (width * height)))

    return min(model.sizes, key=far)


def need_clip(video: Video, verb: str, instead: str) -> None:
    """Raise UserError for a still where a verb needs something that moves. instead: what to do."""
    if len(video) < 2:
        raise UserError(f"{verb} needs a clip, and this is a still; {instead}.")
