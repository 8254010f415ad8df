"""The model that ships with a scene: it draws the objects that the words name, then the clip along them."""

from __future__ import annotations

import numpy as np
import pytest

import sorairo
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.generation.scenes import drawn_tracks
from sorairo.scenes.tracks import COLOURS, SHAPES
from sorairo.types import UserError


@pytest.fixture(scope="module")
def model():
    return load_checkpoint("default", "fp32")


def test_two_objects_of_the_words_are_in_the_scene(model):
    tracks = drawn_tracks(model, "A green ball hits a yellow cube.", 17, seed=4)
    there = tracks.there[0].tolist()
    found = {
        (COLOURS[colour], SHAPES[shape])
        for colour, shape, is_there in zip(tracks.colour[0], tracks.shape[0], there, strict=True)
        if is_there
    }
    assert sum(there) == 2
    assert found == {("green", "ball"), ("yellow", "cube")}


def test_a_clip_of_it_and_one_that_goes_on():
    model = sorairo.load("default", dtype="fp32")
    first = model.generate("A green ball hits a yellow cube.", size=(64, 64), steps=2, seed=4).video
    assert len(first) == 17 and np.ptp(first.frames) > 60
    longer = model.extend(first, "A green ball rolls to the right.", seconds=0.5, steps=2, seed=4).video
    assert len(longer) > 17 and (longer.frames[:17] == first.frames).all()


def test_what_has_no_scene_says_so():
    with pytest.raises(UserError, match="draws no scenes"):
        drawn_tracks(load_checkpoint("fast", "fp32"), "A red ball.", 17, seed=1)
