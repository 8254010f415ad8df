"""Every clip twice, as it is and as a mirror shows it, with left and right exchanged in its words."""

# Legend: t h w frames or latent grid, k kinds of a map

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace

import numpy as np
from torch import Tensor

from sorairo.data.sources.base import Bucket, Source, SourceClip
from sorairo.scenes.tracks import Tracks
from sorairo.types import Video

__all__ = ["Mirrored", "mirrored", "mirrored_words"]

SIDES = re.compile(r"\b(left|right)\b", re.IGNORECASE)
OTHER = {"left": "right", "right": "left", "Left": "Right", "Right": "Left", "LEFT": "RIGHT", "RIGHT": "LEFT"}


class Mirrored:
    """A Source of twice as many clips as another: 2n is its clip n, 2n + 1 the mirror image of that.

    Rendering and reading cost more than what is done here, so a clip that is asked for both ways in a row is made
    once. Not for clips of writing, or of what is used with one hand: nobody tells those apart by their words.
    """

    def __init__(self, source: Source):
        self.source = source

    def clips(self, numbers: Iterable[int], bucket: Bucket) -> Iterator[SourceClip | None]:
        """See Source."""
        wanted = list(numbers)
        firsts = [number for i, number in enumerate(wanted) if i == 0 or number // 2 != wanted[i - 1] // 2]
        made = self.source.clips([number // 2 for number in firsts], bucket)
        last, clip = -1, None
        for number in wanted:
            if number // 2 != last:
                last, clip = number // 2, next(made)
            yield mirrored(clip) if clip is not None and number % 2 else clip


def mirrored(clip: SourceClip) -> SourceClip:
    """The mirror image of a clip, of its words, of its maps and of its scene."""
    long, short, one, two = (mirrored_words(text) for text in clip.captions)
    frames = np.ascontiguousarray(clip.video.frames[:, :, ::-1])
    return replace(
        clip,
        video=Video(frames=frames, fps=clip.video.fps),
        captions=(long, short, one, two),
        record=clip.record | {"mirrored": True},
        maps=None if clip.maps is None else _flipped(clip.maps),
        scene=None if clip.scene is None else _turned(clip.scene),
    )


def mirrored_words(text: str) -> str:
    """A caption with left and right exchanged; both are only ever directions in the studio's sentences."""
    return SIDES.sub(lambda found: OTHER.get(found[0], OTHER[found[0].lower()]), text)


def _flipped(maps: Callable[[tuple[int, int, int]], Tensor]) -> Callable[[tuple[int, int, int]], Tensor]:
    return lambda grid: maps(grid).flip(-1)


def _turned(scene: Callable[[int], Tracks]) -> Callable[[int], Tracks]:
    return lambda frames: scene(frames).mirrored()
