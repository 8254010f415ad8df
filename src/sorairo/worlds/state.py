"""The exact state of a clip, as arrays and plain values."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from sorairo.worlds.cameras import View, project
from sorairo.worlds.physics import Trajectory
from sorairo.worlds.render import Picture
from sorairo.worlds.scene import Scene
from sorairo.worlds.story import Story

__all__ = ["describe"]


def describe(
    scene: Scene,
    story: Story,
    motion: Trajectory,
    view: View,
    picture: Picture,
    size: tuple[int, int],
    fps: float,
) -> dict[str, Any]:
    """Arrays of t frames and n objects (metres, seconds, radians, pixels; world z up) beside the scene's facts.

    position, velocity, spin (t n 3), rotation (t n 4) as w x y z, contacts (t n n+2), visibility (t n), centre
    (t n 2) and box (t n 4: left top right bottom, whole object, NaN when out of the picture), view: eye, right, up,
    forward (t 3), tan (2): tangents of half the fields of view. The rest does not change during the clip.
    """
    at, depth = project(view, motion.position)
    alone, seen, box = _outlines(picture, len(scene.objects))
    with np.errstate(invalid="ignore"):
        visibility = np.where(alone > 0, np.minimum(seen / np.maximum(alone, 1), 1.0), 0.0)
    return {
        "position": motion.position,
        "velocity": motion.velocity,
        "rotation": motion.rotation,
        "spin": motion.spin,
        "contacts": motion.contacts,
        "visibility": visibility.astype("f4"),
        "centre": ((at + 1) / 2 * np.array(size)).astype("f4"),
        "depth": depth.astype("f4"),
        "box": box,
        "view": {
            "eye": view.eye,
            "right": view.right,
            "up": view.up,
            "forward": view.forward,
            "tan": np.array(view.tan),
        },
        "world": "studio",
        "event": scene.event,
        "camera": scene.camera.split()[0],
        "camera_move": scene.camera,
        "floor": scene.floor,
        "sky": scene.sky,
        "gravity": scene.gravity,
        "fps": fps,
        "size": list(size),
        "light": asdict(scene.light),
        "objects": [asdict(body) for body in scene.objects],
        "props": [asdict(body) for body in scene.props],
        "story": asdict(story),
        "facts": scene.facts,
    }


def _outlines(picture: Picture, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels of each object alone (t n), pixels seen (t n), and its box (t n 4)."""
    frames = len(picture.alone)
    alone, seen = np.zeros((frames, count), dtype=int), np.zeros((frames, count), dtype=int)
    box = np.full((frames, count, 4), np.nan, dtype="f4")
    for index in range(count):
        here = (picture.alone >> index) & 1 == 1
        alone[:, index] = here.sum(axis=(1, 2))
        seen[:, index] = (picture.masks == index + 1).sum(axis=(1, 2))
        for side, axis, length in ((0, 1, here.shape[2]), (1, 2, here.shape[1])):
            line = here.any(axis=axis)
            some = line.any(axis=1)
            box[some, index, side] = np.argmax(line[some], axis=1)
            box[some, index, side + 2] = length - np.argmax(line[some][:, ::-1], axis=1)
    return alone, seen, box
