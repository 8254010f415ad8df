"""A model that draws a scene before its picture: its folder, what it adds, and when."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import sorairo
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.scenes.model import SceneModel, steady
from sorairo.scenes.tracks import SLOTS
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


def test_known_frames_and_longer_clips_are_as_without(folder, tiny_folder):
    """Of what goes on from given frames nobody draws a scene yet; a clip longer than a scene has none."""
    assert np.array_equal(frames(folder, frames=13), frames(tiny_folder, frames=13))
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
        return any("draws a scene first for clips of up to 9 frames" in note for note in clip.notes)

    assert not said(model.generate("a red ball", frames=9, **settings))
    long = model.generate("a red ball", frames=13, **settings)
    assert said(long) and not said(plain.generate("a red ball", frames=13, **settings))
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
        ("layers", 100_000, "layers"),
        ("layers", 200, "do not belong together"),
        ("colour", 1, "colour"),
        ("steps", 0, "steps"),
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
