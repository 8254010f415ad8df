"""Clips as files of a data set: the same everywhere, of every size, of the right split."""

from __future__ import annotations

import itertools
import re
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from sorairo.types import UserError
from sorairo.worlds import WorldClip, get_world, render_clips
from sorairo.worlds.captions import vocabulary
from sorairo.worlds.circles import CIRCLES
from sorairo.worlds.palette import COLOURS, SHAPES
from sorairo.worlds.splits import EVENTS, held_out
from sorairo.worlds.templates import CAMERA_WORDS, HELDOUT_WORDS, PHRASES

FACTS = {"size": (48, 48), "circle": 2}  # of which each worker draws some


def same(one: WorldClip, other: WorldClip) -> bool:
    arrays = ("position", "rotation", "velocity", "visibility", "box")
    return (
        one.captions == other.captions
        and np.array_equal(one.video.frames, other.video.frames)
        and all(np.array_equal(one.state[k], other.state[k], equal_nan=True) for k in arrays)
    )


def test_a_clip_is_its_seed_on_any_number_of_workers() -> None:
    world, seeds = get_world("studio"), range(3)
    alone = list(render_clips(world, seeds, **FACTS))
    backwards = [world.clip(seed, **FACTS) for seed in reversed(seeds)][::-1]
    spread = list(render_clips(world, seeds, workers=2, **FACTS))
    assert [clip.seed for clip in spread] == list(seeds)
    assert all(same(a, b) and same(a, c) for a, b, c in zip(alone, backwards, spread, strict=True))


def test_a_clip_is_its_seed_in_any_thread() -> None:
    here = list(render_clips(get_world("studio"), [3], **FACTS))
    for _ in range(2):  # each a new one, after others have drawn
        with ThreadPoolExecutor(1) as threads:
            there = threads.submit(lambda: list(render_clips(get_world("studio"), [3], **FACTS))).result()
        assert same(here[0], there[0])


def test_one_colour_in_twelve_is_held_out() -> None:
    for shape in SHAPES:
        for event in EVENTS:
            assert sum(held_out(colour, shape, event) for colour in COLOURS) == 1


@pytest.mark.parametrize("circle", [0, 3])
def test_splits_do_not_meet(circle: int) -> None:
    world = get_world("studio")
    for seed in range(5):
        train = world.clip(seed, size=(32, 32), circle=circle)
        kept = world.clip(seed, size=(32, 32), circle=circle, split="heldout")
        event = train.state["event"]
        assert not any(held_out(b["colour"], b["shape"], event) for b in train.state["objects"])
        first = kept.state["objects"][0]
        assert held_out(first["colour"], first["shape"], kept.state["event"])


@pytest.mark.parametrize("size", [(64, 64), (128, 64), (64, 112), (256, 192)])
@pytest.mark.parametrize("frames", [1, 17])
def test_any_aspect(size: tuple[int, int], frames: int) -> None:
    clip = get_world("studio").clip(5, size=size, frames=frames, circle=1, masks=True)
    assert clip.video.frames.shape == (frames, size[1], size[0], 3) and clip.video.frames.dtype == np.uint8
    assert clip.masks is not None and clip.masks.shape == (frames, size[1], size[0])
    box = clip.state["box"]
    assert np.isfinite(box[:, 0]).all()  # in the picture in every frame
    assert len(clip.state["position"]) == frames


def test_longer_clips_stay_alive() -> None:
    clip = get_world("studio").clip(3, size=(48, 48), frames=33, circle=1)
    half = np.abs(np.diff(clip.video.frames[16:].astype(int), axis=0)).mean(axis=(1, 2, 3))
    assert len(clip.video) == 33 and half.max() > 0.05


def test_circles_hold_what_they_say() -> None:
    for number, circle in enumerate(CIRCLES):
        for inner, outer in itertools.pairwise(CIRCLES):
            assert set(inner.events) <= set(outer.events) and set(inner.floors) <= set(outer.floors)
        clip = get_world("studio").clip(11, size=(32, 32), circle=number)
        state = clip.state
        assert state["event"] in circle.events and state["camera"] in circle.cameras
        assert state["floor"] in circle.floors and state["sky"] in circle.skies
        assert len(state["objects"]) in circle.objects
        assert {body["material"] for body in state["objects"]} <= set(circle.materials)


def test_only_the_events_that_were_asked_for() -> None:
    world = get_world("studio")
    events = {world.subject(seed, circle=3, events=("swing", "hide"))[0] for seed in range(20)}
    assert events == {"swing", "hide"}
    assert world.clip(0, size=(32, 32), events=("slide",)).state["event"] == "slide"


def test_trained_words_are_in_the_vocabulary() -> None:
    for number, circle in enumerate(CIRCLES):
        known = vocabulary(circle)
        for seed in range(4):
            captions = get_world("studio").clip(seed, size=(32, 32), circle=number).captions
            for text in (captions.long, captions.short, *captions.paraphrases):
                assert set(re.findall(r"[a-z]+", text.lower())) <= known, text


def test_heldout_wordings_are_not_trained(clips: list[WorldClip]) -> None:
    for clip in clips:
        captions = clip.captions
        assert captions.heldout_paraphrases and len(captions.paraphrases) >= 2
        assert not set(captions.heldout_paraphrases) & {captions.long, captions.short, *captions.paraphrases}
        for body in clip.state[
            "objects"
        ]:  # the scorecard asks with these words, so they must ask for everything
            assert clip.state["event"] == "collapse" or all(
                body["colour"] in text for text in captions.heldout_paraphrases
            )
        assert len(captions.long.split()) <= 64


def test_words_of_the_scorecard_are_not_trained() -> None:
    """New training sentences must not borrow the words that only held-out ones have."""
    assert not HELDOUT_WORDS & vocabulary(CIRCLES[-1])
    told = [text for lines in PHRASES.values() for text in lines.heldout]
    told += [text for words in CAMERA_WORDS.values() for text in words.heldout]
    said = set(re.findall("[a-z]+", re.sub(r"\{\w+\}", " ", " ".join(told)).lower()))
    assert said <= HELDOUT_WORDS | vocabulary(CIRCLES[-1])


def test_colour_tells_nothing_of_the_motion() -> None:
    world = get_world("studio")
    for seed in range(3):
        one, other = (world.clip(seed, size=(32, 32), split=split) for split in ("train", "heldout"))
        if one.state["objects"][0]["shape"] == other.state["objects"][0]["shape"]:
            assert np.allclose(one.state["gravity"], other.state["gravity"])


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"size": (8, 64)}, "32 to 512"),
        ({"frames": 5}, "13 to 257"),
        ({"frames": 0}, "13 to 257"),
        ({"split": "test"}, "train and heldout"),
        ({"circle": 9}, "Circles go from 0"),
        ({"fps": 0.0}, "frames a second"),
        ({"seed": -1}, "0 or more"),
        ({"events": ("swing",)}, "drop, roll, slide; 'swing'"),
    ],
)
def test_bad_input_says_what_to_do(facts: dict, words: str) -> None:
    with pytest.raises(UserError, match=words):
        get_world("studio").clip(**{"seed": 0, **facts})
    with pytest.raises(UserError, match="the worlds are studio"):
        get_world("garden")


def test_what_rolls_can_leave_the_picture_and_other_clips_stay_what_they_are() -> None:
    world = get_world("studio")
    facts = {"size": (48, 48), "events": ("roll",)}
    stays = world.clip(3, **facts).state["visibility"]
    assert stays[-1].min() > 0.5
    leaving = world.clip(3, frames=33, leaves=True, **facts)
    seen = leaving.state["visibility"][:, 0]
    assert len(leaving.video) == 33
    assert seen[0] > 0.5
    assert seen[-8:].max() == 0  # it is gone, and stays gone
    across = leaving.state["centre"][:, 0, 0]
    assert (np.diff(across) > 0).all() or (np.diff(across) < 0).all()  # it never turns back
    assert ("right" in leaving.captions.long) == (across[-1] > across[0])
    drop = {"size": (48, 48), "events": ("drop",)}
    assert same(world.clip(3, leaves=True, **drop), world.clip(3, **drop))


def test_a_pace_makes_the_same_roll_slower_or_faster() -> None:
    world = get_world("studio")
    facts = {"size": (48, 48), "events": ("roll",)}
    speeds = []
    for pace in (0.6, 1.0, 1.5):
        clips = [world.clip(seed, pace=pace, **facts) for seed in range(4)]
        along = [np.linalg.norm(np.diff(clip.state["position"][:5, 0, :2], axis=0), axis=1) for clip in clips]
        speeds.append(np.mean(along))
        assert all(len(clip.video) == 17 for clip in clips)
    assert speeds[0] < 0.8 * speeds[1] and speeds[2] > 1.3 * speeds[1]
    assert same(world.clip(5, **facts), world.clip(5, pace=1.0, **facts))
