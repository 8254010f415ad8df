"""What each verb's plan holds, for any model: no tensors here."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sorairo import tasks
from sorairo.prompts.kinds import word_kinds
from sorairo.tasks.inputs import at_rate, fitted, size_for
from sorairo.tasks.remix import remixed
from sorairo.types import Plan, UserError, Video

MODEL = tasks.Abilities(
    name="it",
    sizes=((64, 64), (96, 64), (64, 96), (128, 128)),
    max_frames=17,
    default_frames=9,
    fps=8.0,
    step=4,
    conditioning=("frames",),
)
FINE = tasks.Abilities(
    name="fine", sizes=((64, 64),), max_frames=33, default_frames=17, fps=8.0, step=2
)  # another time factor
WORDS = "A ball rolls."


def clip(frames: int, size: tuple[int, int] = (64, 64), fps: float = 8.0) -> Video:
    width, height = size
    values = np.random.default_rng(frames).integers(0, 255, (frames, height, width, 3), dtype=np.uint8)
    return Video(frames=values, fps=fps)


def held(plan: Plan) -> list[tuple[int, int, float]]:
    """(at, frames, hold) of what is known; the plan must be one that the model makes."""
    MODEL.check(plan)
    return [(known.at, len(known.video), round(known.hold, 6)) for known in plan.known]


def test_settings_reach_the_plan():
    ask = tasks.Ask(size=(96, 64), seconds=1.0, seed=4, steps=7, guidance=2.0, negative="blue")
    plan = tasks.text_to_video(WORDS, MODEL, ask)
    assert (plan.size, plan.frames, plan.seed, plan.steps) == ((96, 64), 9, 4, 7)
    assert (plan.guidance, plan.negative, plan.fps, plan.spans[0].text) == (2.0, "blue", 8.0, WORDS)
    assert tasks.text_to_video(WORDS, MODEL, tasks.Ask(frames=1)).frames == 1
    assert tasks.text_to_video(WORDS, MODEL, tasks.Ask(seconds=20)).frames == 161
    assert tasks.text_to_video(WORDS, FINE, tasks.Ask(seconds=0.4)).frames == 3


def test_animate():
    plan = tasks.animate(clip(1), WORDS, MODEL)
    assert held(plan) == [(0, 1, 1.0)] and plan.frames == 9
    assert tasks.animate(clip(1, (640, 400)), WORDS, MODEL).size == (96, 64)
    with pytest.raises(UserError, match="extend"):
        tasks.animate(clip(5), WORDS, MODEL)
    with pytest.raises(UserError, match="does not move"):
        tasks.animate(clip(1), WORDS, MODEL, tasks.Ask(frames=1))


def test_extend_takes_a_clip_of_any_length_and_adds_whole_steps():
    for given in (2, 7, 9, 30):
        plan = tasks.extend(clip(given), WORDS, MODEL, tasks.Ask(seconds=1.1))
        assert held(plan) == [(0, given, 1.0)] and plan.frames == given + 8
        plan = tasks.extend(clip(given), WORDS, MODEL, tasks.Ask(seconds=1.1), before=True)
        assert held(plan) == [(8, given, 1.0)] and plan.frames == given + 8
    with pytest.raises(UserError, match="animate"):
        tasks.extend(clip(1), WORDS, MODEL)
    with pytest.raises(UserError, match="cannot be added"):
        tasks.extend(clip(5), WORDS, MODEL, tasks.Ask(frames=0))


def test_loop():
    plan = tasks.loop(None, WORDS, MODEL)
    assert plan.loop and held(plan) == [] and plan.frames == 9 and plan.back == 0.4
    assert tasks.loop(None, WORDS, MODEL, free=True) == replace(plan, back=0.0)
    plan = tasks.loop(clip(6), WORDS, MODEL, tasks.Ask(frames=4))
    assert plan.loop and held(plan) == [(0, 6, 1.0), (6, 4, 0.4)] and plan.frames == 10
    plan = tasks.loop(clip(6), WORDS, MODEL, tasks.Ask(frames=4), free=True)
    assert plan.loop and held(plan) == [(0, 6, 1.0)] and plan.frames == 10
    with pytest.raises(UserError, match="still"):
        tasks.loop(clip(1), WORDS, MODEL)


def test_connect():
    plan = tasks.connect(clip(7), clip(5, (96, 96), 16.0), WORDS, MODEL, tasks.Ask(seconds=1))
    assert held(plan) == [(0, 7, 1.0), (15, 2, 1.0)] and plan.frames == 17
    assert held(tasks.connect(clip(1), clip(1), WORDS, MODEL)) == [(0, 1, 1.0), (9, 1, 1.0)]


def test_edit():
    plan = tasks.edit(clip(6), WORDS, MODEL, strength=0.4, region=(0, 0, 32, 16))
    assert held(plan) == [(0, 6, 0.6)] and plan.known[0].region == (0, 0, 32, 16) and plan.frames == 6
    for strength in (0.0, -1.0, 1.1, math.nan):
        with pytest.raises(UserError, match="strength"):
            tasks.edit(clip(6), WORDS, MODEL, strength=strength)
    with pytest.raises(UserError, match="as long as its clip"):
        tasks.edit(clip(6), WORDS, MODEL, tasks.Ask(seconds=1))
    with pytest.raises(UserError, match="not inside"):
        MODEL.check(tasks.edit(clip(6), WORDS, MODEL, region=(60, 0, 32, 16)))


def test_recut_keeps_a_span_where_it_was():
    plan = tasks.recut(clip(16), (0.5, 1.25), WORDS, MODEL, tasks.Ask(frames=21))
    assert held(plan) == [(4, 6, 1.0)] and plan.frames == 21
    assert np.array_equal(plan.known[0].video.frames, clip(16).frames[4:10])
    assert held(tasks.recut(clip(16), (1.0, 2.0), WORDS, MODEL, tasks.Ask(frames=13))) == [(5, 8, 1.0)]
    for keep in ((1.0, 0.5), (1.0, 3.0), (0.5, 0.5)):
        with pytest.raises(UserError, match="keep one inside"):
            tasks.recut(clip(16), keep, WORDS, MODEL)
    with pytest.raises(UserError, match="whole clip"):
        tasks.recut(clip(16), (0.0, 2.0), WORDS, MODEL)


@pytest.mark.parametrize(
    ("said", "change", "words"),
    [
        (
            "A red ball drops onto a grey floor.",
            "now the ball is blue",
            "A blue ball drops onto a grey floor.",
        ),
        ("A red ball drops.", "a cube", "A red cube drops."),
        ("Red ball rolls to the left", "it rolls to the right", "Red ball rolls to the right"),
        ("A red ball hits a blue cube.", "the cube is green", "A red ball hits a green cube."),
        ("A red ball drops.", "now the camera pans left.", "A red ball drops. The camera pans left."),
        ("A red ball drops.", "the ball is red", "A red ball drops. The ball is red."),
        ("A ball drops.", "Now, it is gold.", "A ball drops. It is gold."),
    ],
)
def test_remix_changes_what_is_mentioned(said: str, change: str, words: str):
    assert remixed(said, change, word_kinds()) == words
    plan = tasks.remix(clip(6), said, change, MODEL, kinds=word_kinds())
    assert plan.spans[0].text == words and held(plan) == [(0, 6, 0.1)]


def test_storyboard():
    cards = [
        tasks.Card(at=0, words="One."),
        tasks.Card(at=1, picture=clip(1)),
        tasks.Card(at=1.6, words="Two.", picture=clip(1, (200, 200))),
    ]
    plan = tasks.storyboard(cards, MODEL)
    assert held(plan) == [(8, 1, 1.0), (13, 1, 1.0)] and plan.frames == 21
    assert [(span.text, span.start) for span in plan.spans] == [("One.", 0), ("Two.", 13)]
    assert tasks.storyboard(cards, MODEL, tasks.Ask(seconds=4)).frames == 33


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([], "card"),
        ([1.0], "first card must be at 0"),
        ([0.0, 0.0], "over the one before"),
        ([0.0, 2.0, 1.0], "over the one before"),
        ([0.0, 0.01], "over the one before"),
        ([0.0, -1.0], "0 s and later"),
        ([0.0, math.nan], "0 s and later"),
        ([0.0, 3.0], "outside the clip of 2.125 s"),
        ([0.0, 1e9], "outside"),
    ],
)
def test_cards_that_make_no_sense(times: list[float], message: str):
    with pytest.raises(UserError, match=message):
        tasks.storyboard([tasks.Card(at=at, words="A ball.") for at in times], MODEL, tasks.Ask(seconds=2))


def test_a_card_takes_a_picture():
    with pytest.raises(UserError, match="connect"):
        tasks.storyboard([tasks.Card(at=0, words="A.", picture=clip(2))], MODEL)
    with pytest.raises(UserError, match="have words"):
        tasks.storyboard([tasks.Card(at=0, picture=clip(1))], MODEL)


def test_blend_leans_ever_further_over():
    plan = tasks.blend(clip(20), clip(17), (WORDS, WORDS), MODEL)
    holds = held(plan)
    assert plan.frames == 17 and len(plan.spans) == 1
    assert [(at, frames) for at, frames, _ in holds] == [(0, 1), (1, 4), (5, 4), (9, 4), (13, 4)]
    assert holds[0][2] == holds[-1][2] == 1.0 and min(hold for *_, hold in holds) < 0.4
    assert np.array_equal(plan.known[0].video.frames[0], clip(20).frames[0])
    assert np.array_equal(plan.known[-1].video.frames, clip(17).frames[13:])
    assert len(tasks.blend(clip(9), clip(9), ("A.", "B."), MODEL, curve="late").spans) == 2
    with pytest.raises(UserError, match="linear, smooth"):
        tasks.blend(clip(9), clip(9), (WORDS, WORDS), MODEL, curve="round")
    with pytest.raises(UserError, match="too short"):
        tasks.blend(clip(8), clip(9), (WORDS, WORDS), MODEL)
    with pytest.raises(UserError, match="still"):
        tasks.blend(clip(1), clip(9), (WORDS, WORDS), MODEL)


def test_what_is_given_takes_the_models_rate_and_size():
    video = clip(48, (200, 130), 24.0)
    assert np.array_equal(at_rate(video, 8.0).frames, video.frames[::3])
    assert len(at_rate(clip(10, fps=4.0), 8.0)) == 20
    assert len(at_rate(clip(1, fps=1.0), 8.0)) == 1 and len(at_rate(clip(2, fps=30.0), 8.0)) == 1
    assert size_for(video, MODEL, tasks.Ask()) == (96, 64)
    assert size_for(clip(1, (1000, 1000)), MODEL, tasks.Ask()) == (128, 128)
    assert size_for(video, MODEL, tasks.Ask(size=(64, 64))) == (64, 64)
    there = fitted(video, MODEL, (96, 64))
    assert there.size == (96, 64) and there.fps == 8.0
    assert fitted(there, MODEL, (96, 64)) is there


def test_models_of_stills_are_given_nothing():
    still = tasks.Abilities(
        name="still", sizes=((64, 64),), max_frames=1, default_frames=1, fps=8.0, step=4, conditioning=()
    )
    with pytest.raises(UserError, match=r"at most 0.125"):
        tasks.text_to_video(WORDS, still, tasks.Ask(seconds=4))
    with pytest.raises(UserError, match=r"cannot be (made|given)"):
        still.check(tasks.edit(clip(1), WORDS, still))


def test_a_model_that_needs_pictures_makes_one_window():
    between = tasks.Abilities(
        name="between",
        sizes=((64, 64),),
        max_frames=17,
        default_frames=17,
        fps=8.0,
        step=4,
        conditioning=("first", "last"),
        needs=("first", "last"),
    )
    plan = tasks.connect(clip(1), clip(1), WORDS, between)
    assert plan.frames == 17 and [known.at for known in plan.known] == [0, 16]
    between.check(plan)
    between.check(tasks.connect(clip(1), clip(1), WORDS, between, tasks.Ask(frames=8)))
    refused = {
        "give it the first and the last frame": tasks.text_to_video(WORDS, between),
        "give it the last frame": tasks.animate(clip(1), WORDS, between),
        "one frame at a time": tasks.connect(clip(5), clip(1), WORDS, between),
        "another model for loops": replace(plan, loop=True),
        "keeps its input pictures": replace(
            plan, known=tuple(replace(known, hold=0.5) for known in plan.known)
        ),
    }
    for match, other in refused.items():
        with pytest.raises(UserError, match=match):
            between.check(other)
    assert between.longest == 17


def test_what_is_grown_between_known_frames_is_not_guided_unless_asked() -> None:
    def guidance(model: tasks.Abilities, ask: tasks.Ask) -> list[float | None]:
        plans = (
            tasks.connect(clip(9), clip(9), WORDS, model, ask),
            tasks.recut(clip(17), (0.5, 1.0), WORDS, model, ask),
        )
        return [plan.guidance for plan in plans]

    assert guidance(MODEL, tasks.Ask()) == [1.0, 1.0]
    assert guidance(MODEL, tasks.Ask(guidance=3.0)) == [3.0, 3.0]
    assert guidance(replace(MODEL, conditioning=()), tasks.Ask()) == [None, None]
    assert tasks.extend(clip(9), WORDS, MODEL).guidance is None
