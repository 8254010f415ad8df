"""Whether something goes on its way, by paths whose answer is known."""

from __future__ import annotations

import math

import numpy as np

from sorairo.evaluation.parse import Parsed
from sorairo.evaluation.tracks import Track
from sorairo.evaluation.verbs import goes_on

GONE = [np.nan] * 4


def parsed(*across: list[float]) -> Parsed:
    tracks = []
    for x in across:
        path = np.stack([np.array(x, float), np.where(np.isnan(x), np.nan, 50.0)], axis=1)
        tracks.append(Track(colour="red", shape="ball", path=path, area=np.full(len(x), 100.0), parts=()))
    return Parsed(objects=tuple(tracks), event="roll", event_sure=1, camera="still", camera_sure=1)


def test_what_goes_on_or_leaves_keeps_the_promise():
    assert goes_on(parsed([10, 20, 30, 40, 50, 60, 70, 80]), 4) == 1
    assert goes_on(parsed([60, 70, 80, 90, *GONE]), 4) == 1
    assert goes_on(parsed([80, 70, 60, 50, 40, 30, 20, 10]), 4) == 1
    assert goes_on(parsed([10, 20, 30, 40, 41, 40.5, 41, 41]), 4) == 1  # it stops; half a pixel is nothing


def test_what_turns_jumps_or_comes_again_does_not():
    assert (
        goes_on(parsed([50, 60, 70, 80, 83, 85, 81, 84]), 4) == 0
    )  # as the default did: in jumps of two frames
    assert goes_on(parsed([50, 60, 70, 80, 70, 60, 50, 40]), 4) == 0
    again = [*GONE, np.nan, 30, 35, 40]
    assert goes_on(parsed([60, 70, 80, 90, *GONE], again), 4) == 0


def test_what_does_not_move_or_is_not_seen_is_not_asked():
    assert math.isnan(goes_on(parsed([50] * 8), 4))
    assert math.isnan(goes_on(parsed(), 4))
    assert math.isnan(goes_on(parsed([*GONE, 10, 20, 30, 40]), 4))
