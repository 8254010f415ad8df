"""Relations and order, read from paths whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sorairo.evaluation.judge import judge
from sorairo.evaluation.parse import Parsed
from sorairo.evaluation.relations import order, says_order, stands
from sorairo.evaluation.suites import Facts, Suite, facts_of
from sorairo.evaluation.tracks import Track

OBJECTS = (("red", "ball"), ("blue", "cube"))


def track(name: tuple[str, str], x, y, frames: int = 12, area: float = 100.0) -> Track:
    path = np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float), np.zeros(frames))[:2], -1)
    return Track(colour=name[0], shape=name[1], path=path.copy(), area=np.full(frames, area), parts=())


def parsed(*tracks: Track) -> Parsed:
    return Parsed(objects=tracks, event="drop", event_sure=1, camera="still", camera_sure=1)


def facts(**more) -> Facts:
    return Facts(objects=OBJECTS, event="drop", camera="still", **more)


@pytest.mark.parametrize(
    ("how", "x", "y", "want"),
    [
        ("to the left of", 20, 50, 1),
        ("to the left of", 70, 50, 0),
        ("to the right of", 70, 50, 1),
        ("in front of", 45, 60, 1),
        ("in front of", 45, 40, 0),
        ("behind", 45, 40, 1),
    ],
)
def test_where_one_stands_to_the_other(how, x, y, want):
    clip = parsed(track(OBJECTS[0], x, y), track(OBJECTS[1], 48, 50))
    assert stands(clip, facts(relations=((how, 0, 1),))) == want
    missing = parsed(track(OBJECTS[1], 48, 50))
    assert stands(missing, facts(relations=((how, 0, 1),))) == 0
    assert math.isnan(stands(clip, facts(relations=(("near", 0, 1),))))
    misread = parsed(track(("red", "capsule"), x, y), track(OBJECTS[1], 48, 50))
    assert stands(misread, facts(relations=((how, 0, 1),))) == want  # the shape has a score of its own


def test_which_lands_first_by_the_first_break_of_each_fall():
    fall = np.array([10, 11, 14, 19, 26, 35, 46, 46, 46, 46, 46, 46])
    early = np.array([10, 11, 14, 19, 15, 13, 13, 15, 19, 25, 33, 43])  # it bounces, and is lowest at the end
    clip = parsed(track(OBJECTS[0], 30, early), track(OBJECTS[1], 60, fall))
    assert order(clip, facts(order=(0, 1))) == 1
    assert order(clip, facts(order=(1, 0))) == 0
    assert math.isnan(order(clip, facts()))
    assert order(parsed(track(OBJECTS[0], 30, early)), facts(order=(0, 1))) == 0


def test_order_is_asked_only_where_it_is_said():
    assert says_order("a red ball reaches the ground, and after it a blue cube")
    assert says_order("A red ball and a blue cube drop; the red ball lands before the blue cube.")
    assert not says_order("down come a red ball and a blue cube")


def test_numbers_have_scores_of_their_own():
    scores = judge(parsed(track(OBJECTS[0], 20, 50)), facts())
    assert scores["count 2"] == 0
    assert all(math.isnan(scores[f"count {number}"]) for number in (1, 3, 4))


def test_the_world_says_its_relations_and_its_order():
    suite = Suite(circle=1, count=12, size=(48, 48), seed=42, events=("drop",))
    found = [facts_of(clip) for clip in suite.clips()]
    assert all(one.event == "drop" for one in found)
    assert any(one.order is not None for one in found) and any(one.relations for one in found)
