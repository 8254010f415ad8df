"""Scenes as people write them: files, what is refused, and what a clip follows."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

import sorairo
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.config import from_dict, to_dict
from sorairo.data.tracks import tracks_of
from sorairo.generation.scenes import ClipScene, windows_of
from sorairo.generation.timeline import Timeline
from sorairo.jobs.plans import plan_from_dict, plan_to_dict, read_plan
from sorairo.scenes.directed import latent_times, scene_of, tracks_of_scene
from sorairo.scenes.picture import draw_scene
from sorairo.scenes.script import read_scene, write_scene
from sorairo.tasks.ask import Ask
from sorairo.tasks.scene import check_scene
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Plan, Scene, SceneCamera, SceneObject, ScenePlace, Span, UserError
from sorairo.worlds import get_world


def rolling(**changes) -> Scene:
    ways = (ScenePlace(x=-0.5, y=0.2), ScenePlace(at=1.0, x=0.5, y=0.2))
    one = {"shape": "ball", "colour": "red", "path": ways} | changes
    return Scene(objects=(SceneObject(**one),))


def test_latent_frames_stand_for_the_middle_of_their_frames():
    assert np.allclose(latent_times(4, 2, 8.0), np.array([0, 1.5, 3.5, 5.5]) / 8)
    assert np.allclose(latent_times(3, 4, 16.0), np.array([0, 2.5, 6.5]) / 16)


def test_a_path_goes_straight_between_its_places_and_rests_outside():
    tracks = tracks_of_scene(rolling(), np.array([0.0, 0.5, 1.0, 9.0]))
    assert torch.allclose(tracks.place[0, 0, :, 0], torch.tensor([-0.5, 0.0, 0.5, 0.5]))
    assert tracks.there.tolist() == [[True, False, False, False]]
    assert torch.equal(tracks.camera[0, 0], tracks.camera[0, -1])


def test_tracks_of_a_clip_are_a_scene_and_come_back(tmp_path):
    clip = get_world("studio").clip(900_000, size=(64, 64), circle=1)
    times = latent_times(9, 2, 8.0)
    tracks = tracks_of(clip, 9)
    write_scene(scene_of(tracks, times), tmp_path / "s.json")
    back = tracks_of_scene(read_scene(tmp_path / "s.json"), times)
    assert torch.equal(back.there, tracks.there)
    assert torch.equal(back.shape[back.there], tracks.shape[back.there])
    assert torch.allclose(back.place[back.there], tracks.place[back.there], atol=1e-3)
    assert torch.allclose(back.camera, tracks.camera, atol=1e-3)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        (
            {"objects": [{"shape": "torus", "colour": "red", "path": [{"x": 0, "y": 0}]}]},
            "'torus'; give one of",
        ),
        (
            {"objects": [{"shape": "ball", "colour": "mauve", "path": [{"x": 0, "y": 0}]}]},
            "'mauve'; give one of",
        ),
        ({"objects": [{"shape": "ball", "colour": "red", "path": []}]}, "is nowhere"),
        ({"objects": [{"shape": "ball", "colour": "red", "path": [{"x": 0}]}]}, "y: field required"),
        ({"objects": [{"shape": "ball", "colour": "red", "path": [{"x": 0, "y": 0, "widht": 1}]}]}, "widht"),
        ({"objects": [{"shape": "ball", "color": "red", "path": [{"x": 0, "y": 0}]}]}, "colour|color"),
        ({"objects": [{"shape": "ball", "colour": "red", "path": [{"x": 0, "y": 0, "width": 0}]}]}, "0 wide"),
        (
            {
                "objects": [
                    {"shape": "ball", "colour": "red", "path": [{"x": 0, "y": 0, "at": 1}, {"x": 1, "y": 0}]}
                ]
            },
            "in order of time",
        ),
        ({"objects": [], "camera": [{"distance": 0}]}, "camera has at or distance below"),
        (
            {"objects": [{"shape": "ball", "colour": "red", "path": [{"x": 0, "y": 0}]}] * 5},
            "up to 4 objects",
        ),
        ({"objects": [], "lens": 1}, "unknown key 'lens'"),
    ],
)
def test_a_file_that_is_no_scene_is_refused_by_name(tmp_path, values, says):
    path = tmp_path / "s.json"
    path.write_text(json.dumps(values))
    with pytest.raises(UserError, match=says) as refused:
        read_scene(path)
    assert str(path) in str(refused.value)


def test_numbers_that_are_none_are_refused():
    with pytest.raises(UserError, match="x nan"):
        check_scene(rolling(path=(ScenePlace(x=float("nan"), y=0.0),)))


def test_a_clip_follows_the_scene_that_is_set(folder, tmp_path):
    model, settings = sorairo.load(folder, dtype="fp32"), {"frames": 5, "steps": 2, "seed": 3}
    drawn = model.draw_scene("a red ball", frames=5, seed=3)
    same = model.generate("a red ball", scene=drawn, **settings)
    assert (
        np.abs(same.video.frames.astype(int) - model.generate("a red ball", **settings).video.frames).max()
        <= 1
    )
    moved = model.generate("a red ball", scene=rolling(), **settings)
    assert not np.array_equal(moved.video.frames, same.video.frames)
    moved.save(tmp_path / "clip.mp4")
    assert read_plan(tmp_path / "clip.mp4").plan.scene == rolling()


def test_a_longer_clip_follows_it_window_by_window(folder):
    """The first window sees the same part of the scene as a clip of its length does."""
    path = (ScenePlace(at=0.0, x=-0.8, y=0.0), ScenePlace(at=3.0, x=0.8, y=0.0))
    model = load_checkpoint(folder, "fp32")
    plan = text_to_video("a red ball", model.abilities, Ask(frames=25, seed=3))
    plan = replace(plan, scene=rolling(path=path))
    seconds, places = [], []
    for window in windows_of(model, plan, Timeline(plan, 4)):
        tracks = ClipScene(model, plan).tracks(window, "", {})
        seconds += list(latent_times(tracks.place.shape[2], 4, plan.fps) + window.start / plan.fps)
        places += tracks.place[0, 0, :, 0].tolist()
    assert max(seconds) > 2.5 and len(seconds) > 7
    assert places == pytest.approx(np.interp(seconds, [0, 3], [-0.8, 0.8]), abs=1e-6)


def test_what_follows_no_scene_says_so(tiny_folder):
    plain = sorairo.load(tiny_folder, dtype="fp32")
    with pytest.raises(UserError, match="follows no scene"):
        plain.generate("a red ball", scene=rolling(), frames=5)
    with pytest.raises(UserError, match="draws no scenes"):
        plain.draw_scene("a red ball")


def test_a_plan_keeps_its_scene_and_plans_without_are_as_before():
    plan = Plan(size=(64, 64), frames=5, fps=8.0, spans=(Span(text="a"),), seed=1)
    assert "scene" not in plan_to_dict(plan)
    camera = (SceneCamera(), SceneCamera(at=1.0, x=0.4))
    told = Plan(**{**vars(plan), "scene": Scene(objects=rolling().objects, camera=camera)})
    assert plan_from_dict(json.loads(json.dumps(plan_to_dict(told))))[0] == told
    assert from_dict(Scene, to_dict(told.scene)) == told.scene


def test_a_picture_shows_five_moments_of_it():
    picture = np.asarray(draw_scene(rolling()))
    red = (picture[..., 0] > 190) & (picture[..., 1] < 80)
    assert picture.shape[1] > 5 * picture.shape[0]
    middles = [np.flatnonzero(part.any(0)).mean() for part in np.array_split(red, 5, 1)]
    assert middles == sorted(middles)
