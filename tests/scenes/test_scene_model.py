"""A model that draws a scene before its picture: its folder, what it adds, and when."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import sorairo
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.generation.scenes import ClipScene, anchor, drawn_tracks, windows_of
from sorairo.generation.timeline import Timeline
from sorairo.scenes.model import SceneModel, steady
from sorairo.scenes.times import at_frames
from sorairo.scenes.tracks import SLOTS, Tracks
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import UserError, Video
from tests.scenes.conftest import CONFIG
from tests.scenes.test_tracks import ball


def frames(path, **options):
    options = {"frames": 5, "steps": 2, "seed": 3} | options
    return sorairo.load(path, dtype="fp32").generate("a red ball", **options).video.frames


def test_the_folder_keeps_it(folder, scene):
    loaded = load_checkpoint(folder, "fp32").scene
    assert loaded is not None and loaded.config == scene.config
    assert all(torch.equal(p, q) for p, q in zip(loaded.parameters(), scene.parameters(), strict=True))


def test_a_clip_from_words_is_drawn_along_it_and_a_seed_means_the_same(folder, tiny_folder):
    made = frames(folder)
    assert np.array_equal(made, frames(folder))
    assert not np.array_equal(made, frames(tiny_folder))


def test_known_frames_are_as_without(folder, tiny_folder):
    """Of what goes on from given frames nobody draws a scene yet."""
    still = Video(frames=np.full((1, 64, 64, 3), 90, np.uint8), fps=8.0)
    one, other = (
        sorairo.load(path, dtype="fp32").animate(still, "a red ball", frames=5, steps=2, seed=3).video.frames
        for path in (folder, tiny_folder)
    )
    assert np.array_equal(one, other)


def test_a_clip_without_its_scene_says_so(folder, tiny_folder):
    model, plain = sorairo.load(folder, dtype="fp32"), sorairo.load(tiny_folder, dtype="fp32")
    settings = {"steps": 1, "seed": 3}

    def said(clip) -> bool:
        return any("draws a scene first" in note for note in clip.notes)

    long = model.generate("a red ball", frames=17, **settings)
    assert not said(long) and not said(plain.generate("a red ball", frames=5, **settings))
    assert said(model.extend(long.video, "a red ball", frames=4, **settings))


def test_tracks_are_drawn_from_the_words(scene, tiny_folder):
    text = load_checkpoint(tiny_folder, "fp32").text
    words, nothing = text.encode(["a red ball"]), text.encode([""])
    first = scene.tracks(words, nothing, 3, torch.Generator().manual_seed(1))
    assert first.place.shape == (1, SLOTS, 3, 5)
    again = scene.tracks(words, nothing, 3, torch.Generator().manual_seed(1))
    other = scene.tracks(text.encode(["a blue cube"]), nothing, 3, torch.Generator().manual_seed(1))
    assert torch.equal(first.place, again.place)
    assert not torch.equal(first.place, other.place)


def test_known_tracks_are_kept_and_gone_on_from(scene, tiny_folder):
    text = load_checkpoint(tiny_folder, "fp32").text
    words, nothing = text.encode(["a red ball"]), text.encode([""])
    first = scene.tracks(words, nothing, 4, torch.Generator().manual_seed(1))
    first = replace(first, there=torch.tensor([[True, True, False, False]]))
    kept = torch.tensor([True, True, False, False])
    drawn = scene.tracks(words, nothing, 4, torch.Generator().manual_seed(2), (first, kept))
    assert torch.allclose(drawn.place[:, :2, :2], first.place[:, :2, :2], atol=1e-3)
    assert not torch.allclose(drawn.place[:, :2, 2:], first.place[:, :2, 2:], atol=1e-1)


def test_a_longer_clip_has_one_scene(folder):
    """Windows share frames, in which the objects are where they were; they stay what they are."""
    model = load_checkpoint(folder, "fp32")
    plan = text_to_video("a red ball", model.abilities, Ask(frames=25, seed=3))
    texts = {text: model.text.encode([text]) for text in ("a red ball", "")}
    along, windows = ClipScene(model, plan), windows_of(model, plan, Timeline(plan, 4))
    assert len(windows) > 1 and all(window.stop - window.start <= 13 for window in windows)
    drawn = [along.tracks(window, "a red ball", texts) for window in windows]
    assert all(torch.equal(one.shape, drawn[0].shape) for one in drawn)
    assert all(torch.equal(one.there, drawn[0].there) for one in drawn)
    here = drawn[0].there[0]
    was, now = at_frames(drawn[0].place, 4)[0, here], drawn[1].place[0, here]  # k f 5, k t 5
    assert here.any() and torch.allclose(now[:, 0], was[:, windows[1].start], atol=1e-3)
    whole = drawn_tracks(model, "a red ball", 25, 3)
    assert whole.place.shape[2] == 7
    assert torch.equal(whole.place[:, :, 0], drawn[0].place[:, :, 0])


def test_a_camera_goes_on_as_that_of_a_clip_of_its_own():
    """Its point moves on to the middle of the picture at the middle of the window, and it has not turned yet."""
    places = torch.zeros(1, SLOTS, 9, 5)
    camera = torch.zeros(1, 9, 5)
    camera[0, :3, 0], camera[0, :3, 2] = torch.tensor([0.5, 0.4, 0.3]), torch.tensor([0.1, 0.2, 0.3])
    names = torch.zeros(1, SLOTS, dtype=torch.long)
    known = Tracks(place=places, shape=names, colour=names, there=names > 0, camera=camera)
    moved = anchor(known, torch.arange(9) < 3)
    assert moved.tolist() == pytest.approx([-0.1, 0.0, -0.1, 0.0, 0.0], abs=1e-6)


def test_a_drawn_camera_moves_smoothly(scene, tiny_folder):
    moves = torch.stack([torch.linspace(-1, 1, 9) ** power for power in range(3)], -1)[None] @ torch.ones(
        1, 3, 5
    )
    assert torch.allclose(steady(moves), moves, atol=1e-5)
    assert steady(moves[:, :1]).shape == (1, 1, 5) and torch.equal(steady(moves[:, :1]), moves[:, :1])
    text = load_checkpoint(tiny_folder, "fp32").text
    drawn = scene.tracks(text.encode(["a"]), text.encode([""]), 9, torch.Generator().manual_seed(1)).camera
    assert float(drawn.diff(dim=1).diff(dim=1).diff(dim=1).abs().max()) < 1e-4


def test_a_fresh_embedding_changes_nothing():
    model = SceneModel(CONFIG)
    model.transformer.init_weights()
    tokens = model.tokens(ball(), (8, 8))
    assert tokens.shape == (1, 3, 16, 32)
    assert float(tokens.abs().max()) == 0


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("width", 64, "remove scene/"),
        ("text_dim", 48, "remove scene/"),
        ("time_factor", 2, "remove scene/"),
        ("layers", 100_000, "layers"),
        ("layers", 200, "do not belong together"),
        ("colour", 1, "colour"),
        ("steps", 0, "steps"),
        ("frames", 3, "at least 4 latent frames"),
        ("shared", 9, "shared is 9 of 8 channels"),
    ],
)
def test_a_scene_that_does_not_fit_is_refused(folder, tmp_path, key, value, says):
    import shutil

    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    path = broken / "scene" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {key: value}))
    with pytest.raises(UserError, match=says):
        load_checkpoint(broken, "fp32")
