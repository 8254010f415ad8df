"""Every verb through a tiny model with random weights: what is given comes back, whole and untouched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import sorairo
from sorairo import tasks
from sorairo.generation.generate import generate
from sorairo.prompts.kinds import word_kinds
from sorairo.types import Plan, Video

WORDS = "a red ball rolls"
ASK = tasks.Ask(steps=1, seed=2)


@pytest.fixture(scope="module")
def model(tiny_folder):
    return sorairo.load(tiny_folder, "fp32")


def clip(frames: int, seed: int = 0) -> Video:
    values = np.random.default_rng(seed).integers(0, 255, (frames, 64, 64, 3), dtype=np.uint8)
    return Video(frames=values, fps=8.0)


def made(plan: Plan, model) -> np.ndarray:
    """The frames of a plan; the same beside another plan as alone."""
    other, one = generate([replace(plan, seed=9), plan], model)
    assert one.video.frames.shape == (plan.frames, 64, 64, 3)
    assert not np.array_equal(one.video.frames, other.video.frames)
    return one.video.frames


def new(frames: np.ndarray, count: int) -> bool:
    """Whether there are so many frames, no two alike."""
    return len(np.unique(frames.reshape(len(frames), -1), axis=0)) == count


def test_animate(model):
    frames = made(tasks.animate(clip(1), WORDS, model.abilities, replace(ASK, frames=9)), model)
    assert np.array_equal(frames[0], clip(1).frames[0]) and new(frames, 9)


@pytest.mark.parametrize("given", [5, 7])
@pytest.mark.parametrize("before", [False, True])
def test_extend(model, given, before):
    ask = replace(ASK, frames=4)
    frames = made(tasks.extend(clip(given), WORDS, model.abilities, ask, before=before), model)
    kept = frames[4:] if before else frames[:given]
    assert np.array_equal(kept, clip(given).frames) and new(frames, given + 4)


def test_loop(model):
    assert new(made(tasks.loop(None, WORDS, model.abilities, replace(ASK, frames=9)), model), 9)
    frames = made(tasks.loop(clip(6), WORDS, model.abilities, replace(ASK, frames=4)), model)
    assert np.array_equal(frames[:6], clip(6).frames) and new(frames, 10)


def test_connect(model):
    a, b = clip(6), clip(3, seed=1)
    frames = made(tasks.connect(a, b, WORDS, model.abilities, replace(ASK, frames=4)), model)
    assert np.array_equal(frames[:6], a.frames) and np.array_equal(frames[10:], b.frames) and new(frames, 13)


def test_edit(model):
    whole = made(tasks.edit(clip(5), WORDS, model.abilities, ASK, strength=0.6), model)
    assert not (whole == clip(5).frames).all(axis=(1, 2, 3)).any()
    part = made(tasks.edit(clip(5), WORDS, model.abilities, ASK, region=(0, 0, 64, 32)), model)
    assert np.array_equal(part[:, 32:], clip(5).frames[:, 32:])
    assert not np.array_equal(part[:, :32], clip(5).frames[:, :32])


def test_recut(model):
    plan = tasks.recut(clip(12), (0.5, 1.0), WORDS, model.abilities, replace(ASK, frames=13))
    frames = made(plan, model)
    assert np.array_equal(frames[4:8], clip(12).frames[4:8]) and new(frames, 13)


def test_remix(model):
    said, change = "a red ball rolls", "now the ball is blue"
    plan = tasks.remix(clip(5), said, change, model.abilities, ASK, kinds=word_kinds())
    assert plan.spans[0].text == "a blue ball rolls" and new(made(plan, model), 5)


def test_storyboard(model):
    cards = [
        tasks.Card(at=0, words="a red ball drops"),
        tasks.Card(at=1.0, words="a blue cube", picture=clip(1)),
    ]
    frames = made(tasks.storyboard(cards, model.abilities, replace(ASK, frames=17)), model)
    assert np.array_equal(frames[8], clip(1).frames[0]) and new(frames, 17)


def test_blend(model):
    a, b = clip(13), clip(13, seed=1)
    frames = made(tasks.blend(a, b, (WORDS, WORDS), model.abilities, ASK), model)
    assert np.array_equal(frames[0], a.frames[0]) and np.array_equal(frames[-1], b.frames[-1])


def test_a_model_with_another_time_factor(model):
    """Nothing counts in fours: the same verbs where a latent frame covers another number of frames."""
    from sorairo.codec.model import Codec
    from sorairo.codec.presets import PRESETS

    config = replace(PRESETS["tiny"], z_dim=8, halve_time=(False, True))
    fine = replace(model, codec=Codec(config).eval().requires_grad_(False))
    assert fine.abilities.step == 2
    ask = replace(ASK, frames=2)
    frames = generate(tasks.extend(clip(6), WORDS, fine.abilities, ask), fine)[0].video.frames
    assert len(frames) == 8 and np.array_equal(frames[:6], clip(6).frames)
