"""What captions say is true of the simulated state, checked from the state alone and by other means than story.py."""

from __future__ import annotations

import re

import numpy as np
import pytest

from sorairo.worlds import WorldClip, get_world
from sorairo.worlds.splits import EVENTS

MOVES = {
    "The camera is still.": "still",
    "The camera pans to the right.": "pan right",
    "The camera pans to the left.": "pan left",
    "The camera orbits to the right.": "orbit right",
    "The camera orbits to the left.": "orbit left",
    "The camera moves in.": "dolly in",
    "The camera moves back.": "dolly out",
    "The camera rises.": "crane up",
    "The camera sinks.": "crane down",
}


SEEN = 0.25  # seconds in the air from which on a hop is one that people see: about 5 cm high


def hops(clip: WorldClip, slack: float) -> int:
    """Flights of the first object after its first contact that people see, give or take `slack` seconds.

    A whole one by the time for which its upward speed carries it; one that the clip's end cuts off by what is seen.
    """
    rising, down = clip.state["velocity"][:, 0, 2], clip.state["contacts"][:, 0, len(clip.state["objects"])]
    touches = np.flatnonzero(down)
    *whole, last = [
        rising[start + 1 : stop] for start, stop in zip(touches, [*touches[1:], len(down)], strict=True)
    ]
    count = sum(2 * flight.max(initial=0.0) / clip.state["gravity"] + slack >= SEEN for flight in whole)
    return count + (len(last) / clip.state["fps"] + slack >= 0.6 * SEEN)


def test_every_event_comes_about(clips: list[WorldClip]) -> None:
    assert {clip.state["event"] for clip in clips} == set(EVENTS)


def test_objects_are_counted_and_named(clips: list[WorldClip]) -> None:
    for clip in clips:
        objects = clip.state["objects"]
        assert 1 <= len(objects) <= 4
        assert len({body["colour"] for body in objects}) == len(objects)
        for body in objects:
            assert re.search(rf"\b{body['colour']}\b", clip.captions.long), clip.captions.long
            if clip.state["event"] != "collapse":
                noun = f"{body['size_name']} {body['material']} {body['colour']} {body['shape']}"
                assert noun in clip.captions.long


def test_sides_and_depths_hold_in_every_frame(clips: list[WorldClip]) -> None:
    told = 0
    for clip in clips:
        x, depth = clip.state["centre"][..., 0], clip.state["depth"]
        for words, index in clip.state["story"]["others"]:
            first = clip.state["story"]["actors"][0]
            gap, deeper = x[:, first] - x[:, index], depth[:, first] - depth[:, index]
            holds = {
                "to the left of": (gap < 0).all(),
                "to the right of": (gap > 0).all(),
                "in front of": (deeper < 0).all(),
                "behind": (deeper > 0).all(),
                "past": gap[0] * gap[-1] < 0,
            }
            if words == "near":  # nothing firmer can be said: no side and no depth is clear in every frame
                clear = [(gap < -0.2).all(), (gap > 0.2).all(), (deeper < -0.4).all(), (deeper > 0.4).all()]
                assert not any(clear) and np.abs(gap).min() < 0.5
            else:
                assert holds[words]
            assert words in clip.captions.long
            told += 1
    assert told > 4


def test_camera_words_match_the_views(clips: list[WorldClip]) -> None:
    for clip in clips:
        eye, forward = clip.state["view"]["eye"], clip.state["view"]["forward"]
        told = next(move for words, move in MOVES.items() if clip.captions.long.endswith(words))
        moved, turned = np.linalg.norm(eye[-1] - eye[0]), np.cross(forward[0], forward[-1])[2]
        ahead = float((eye[-1] - eye[0]) @ forward[0])
        aside = float((eye[-1] - eye[0]) @ clip.state["view"]["right"][0])
        truth = {
            "still": moved < 1e-9 and abs(turned) < 1e-9,
            "pan right": moved < 1e-9 and turned < -0.1,
            "pan left": moved < 1e-9 and turned > 0.1,
            "orbit right": aside > 0.5,
            "orbit left": aside < -0.5,
            "dolly in": ahead > 0.5,
            "dolly out": ahead < -0.5,
            "crane up": eye[-1, 2] - eye[0, 2] > 0.4,
            "crane down": eye[-1, 2] - eye[0, 2] < -0.4,
        }
        assert truth[told] and told == clip.state["camera_move"]


@pytest.mark.parametrize("event", ["roll", "slide", "ramp", "collide", "topple", "hide", "edge"])
def test_directions_are_as_the_camera_sees_them(clips: list[WorldClip], event: str) -> None:
    for clip in clips:
        if clip.state["event"] != event:
            continue
        path = clip.state["position"][-1, 0] - clip.state["position"][0, 0]
        across = float(path @ clip.state["view"]["right"][0])
        assert ("to the right" if across > 0 else "to the left") in clip.captions.long.split(",")[0]


def test_bounces_are_counted() -> None:
    world, words = get_world("studio"), {"once": 1, "twice": 2, "three times": 3}
    told = set()
    for seed in range(150):
        if world.subject(seed, 0)[0] != "drop":
            continue
        clip = world.clip(seed, size=(48, 48), circle=0)
        if clip.state["objects"][0]["shape"] != "ball":
            continue
        said = next((number for word, number in words.items() if f"bounces {word}" in clip.captions.long), 0)
        # The same seed is the same motion at any rate; at 60 frames a second no hop falls between two frames.
        closely = world.clip(seed, size=(32, 32), frames=121, fps=60.0, circle=0)
        assert closely.captions.long == clip.captions.long
        frame = 1 / 60  # what is seen of a contact may be that late, and so may the highest speed after it
        assert hops(closely, -frame) <= said <= hops(closely, 2 * frame), clip.captions.long
        told.add(said)
    assert told == {2, 3}


def test_events_end_as_they_are_told(clips: list[WorldClip]) -> None:
    for clip in clips:
        state, story = clip.state, clip.state["story"]
        n = len(state["objects"])
        speed = np.linalg.norm(state["velocity"], axis=-1)
        match state["event"]:
            case "roll":
                turned = np.linalg.norm(state["spin"][:, 0], axis=-1)
                assert speed[-1, 0] > 0.3 * speed[0, 0] > 0 and turned.min() > 0.5
            case "ramp":
                assert state["contacts"][:, 0, n + 1].any() and state["contacts"][-6:, 0, n].any()
                assert state["position"][-1, 0, 2] < state["position"][0, 0, 2] - 0.3
            case "slide":
                assert speed[-1, 0] < 0.06 and speed[0, 0] > 0.3
            case "collide" | "crash" | "topple":
                assert state["contacts"][:, 0, 1].any() and not state["contacts"][0, 0, 1]
            case "collapse":
                assert state["position"][-1, :, 2].max() < 0.8 * state["position"][0, :, 2].max()
            case "swing":
                x = state["position"][:, 0, 0]
                assert x.min() < 0 < x.max() and not state["contacts"][:, 0, n].any()
            case "hide":
                seen = state["visibility"][:, 0]
                assert seen[0] > 0.8 and seen.min() < 0.06
                assert (seen[-1] > 0.8) == story["variant"].endswith("out")
            case "edge":
                assert state["contacts"][:2, 0, n + 1].any() and state["contacts"][-6:, 0, n].any()
            case "drop":
                assert state["contacts"][:, 0, n].any() and not state["contacts"][0, 0, n]


def test_order_in_time_is_true() -> None:
    world, seen = get_world("studio"), 0
    for seed in range(120):
        if world.subject(seed, 1)[0] != "drop":
            continue
        clip = world.clip(seed, size=(48, 48), circle=1)
        if clip.state["story"]["variant"] != "two":
            continue
        landed = np.argmax(clip.state["contacts"][:, :, 2], axis=0)
        nouns = [f"the {body['colour']} {body['shape']}" for body in clip.state["objects"]]
        first, second = nouns if landed[0] < landed[1] else nouns[::-1]
        assert f"{first} lands before {second}" in clip.captions.long
        seen += 1
        if seen == 3:
            break
    assert seen
