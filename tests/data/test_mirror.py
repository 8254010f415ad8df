"""Clips and their mirror images."""

from __future__ import annotations

import numpy as np
import torch

from sorairo.data.sources.base import Bucket
from sorairo.data.sources.mirror import Mirrored, mirrored_words
from sorairo.data.sources.worlds import Worlds
from sorairo.worlds.templates import CAMERA_WORDS, PHRASES

BUCKET = Bucket(size=(64, 64), frames=17, share=1.0)


class Counting:
    """The studio, and what it was asked for."""

    def __init__(self) -> None:
        self.world = Worlds.of("studio", fps=8.0, split="train", maps=True, workers=0)
        self.asked: list[int] = []

    def clips(self, numbers, bucket):
        self.asked = list(numbers)
        return self.world.clips(self.asked, bucket)


def test_left_and_right_change_places_and_nothing_else():
    assert mirrored_words("A ball rolls to the left of a box. Pan right.") == (
        "A ball rolls to the right of a box. Pan left."
    )
    assert mirrored_words("Left, then RIGHT; leftover brightness") == "Right, then LEFT; leftover brightness"


def test_right_and_left_are_only_directions_in_the_world():
    lines = [line for phrase in PHRASES.values() for line in (phrase.long, *phrase.short, *phrase.trained)]
    lines += [line for camera in CAMERA_WORDS.values() for line in (camera.long, *camera.trained)]
    for line in lines:
        for wrong in ("right away", "right after", "all right", "is left", "right before", "upright"):
            assert wrong not in line


def test_every_clip_is_there_twice_and_made_once():
    source = Counting()
    first, second, third = Mirrored(source).clips([6, 7, 8], BUCKET)
    assert source.asked == [3, 4]
    assert first is not None and second is not None and third is not None
    assert np.array_equal(first.video.frames, second.video.frames[:, :, ::-1])
    assert not np.array_equal(first.video.frames, third.video.frames)
    assert second.captions[0] == mirrored_words(first.captions[0])
    assert second.record["mirrored"] and "mirrored" not in first.record
    assert first.maps is not None and second.maps is not None
    grid = (9, 8, 8)
    assert torch.equal(first.maps(grid), second.maps(grid).flip(-1))
    alone = next(iter(Mirrored(Counting()).clips([7], BUCKET)))
    assert alone is not None and np.array_equal(alone.video.frames, second.video.frames)
