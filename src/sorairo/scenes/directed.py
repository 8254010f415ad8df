"""Scenes that people write -> tracks, and back."""

# Letters: k slots, t latent frames

from __future__ import annotations

from dataclasses import fields

import numpy as np
import torch

from sorairo.scenes.times import middles
from sorairo.scenes.tracks import Tracks
from sorairo.tasks.scene import COLOURS, SHAPES, SLOTS
from sorairo.types import Scene, SceneCamera, SceneObject, ScenePlace

__all__ = ["latent_times", "scene_of", "tracks_of_scene"]

PLACE = [field.name for field in fields(ScenePlace) if field.name != "at"]  # in the order of Tracks.place
CAMERA = [field.name for field in fields(SceneCamera) if field.name != "at"]  # and of Tracks.camera
NOWHERE = ScenePlace(x=0.0, y=0.0)


def latent_times(count: int, time_factor: int, fps: float) -> np.ndarray:
    """Seconds of the middle of what each latent frame stands for: (t)."""
    return middles(count, time_factor) / fps


def tracks_of_scene(scene: Scene, times: np.ndarray) -> Tracks:
    """The tracks (n = 1) of a checked scene at these seconds."""
    blank = SLOTS - len(scene.objects)
    paths = [one.path for one in scene.objects] + [(NOWHERE,)] * blank
    return Tracks(
        place=torch.stack([_at(path, PLACE, times) for path in paths])[None],
        shape=torch.tensor([[SHAPES.index(one.shape) for one in scene.objects] + [0] * blank]),
        colour=torch.tensor([[COLOURS.index(one.colour) for one in scene.objects] + [0] * blank]),
        there=torch.tensor([[True] * len(scene.objects) + [False] * blank]),
        camera=_at(scene.camera or (SceneCamera(),), CAMERA, times)[None],
    )


def scene_of(tracks: Tracks, times: np.ndarray) -> Scene:
    """The first of some tracks as a scene, with a place for each latent frame."""
    objects = [
        SceneObject(
            shape=SHAPES[int(tracks.shape[0, slot])],
            colour=COLOURS[int(tracks.colour[0, slot])],
            path=tuple(ScenePlace(**values) for values in _places(tracks.place[0, slot], PLACE, times)),
        )
        for slot in range(tracks.there.shape[1])
        if tracks.there[0, slot]
    ]
    camera = tuple(SceneCamera(**values) for values in _places(tracks.camera[0], CAMERA, times))
    return Scene(objects=tuple(objects), camera=camera)


def _at(
    path: tuple[ScenePlace, ...] | tuple[SceneCamera, ...], names: list[str], times: np.ndarray
) -> torch.Tensor:
    """A path at some seconds: (t 5)."""
    known = [place.at for place in path]
    values = [np.interp(times, known, [getattr(place, name) for place in path]) for name in names]
    return torch.from_numpy(np.stack(values, -1).astype("f4"))


def _places(values: torch.Tensor, names: list[str], times: np.ndarray) -> list[dict[str, float]]:
    rows = zip(times.tolist(), values.tolist(), strict=True)
    return [
        {"at": round(at, 4)} | {name: round(value, 4) for name, value in zip(names, row, strict=True)}
        for at, row in rows
    ]
