"""What the shader is told: camera and body transforms, light, and the rectangle of the picture each body can touch."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from sorairo.worlds.cameras import View, project
from sorairo.worlds.palette import COLOURS, FLOORS, MATERIALS, SKIES, linear
from sorairo.worlds.physics import Trajectory
from sorairo.worlds.scene import Body, Scene, bounding_radius

__all__ = ["Layout", "lay_out", "place_prop", "rotation_matrices"]

SLOTS = 16
ORDER = ("ball", "cube", "cylinder", "cone", "capsule")  # the slots are sorted by shape
EXPOSURE = 0.93
BELOW = 0.34  # metres around a body within which the floor sees less sky


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """All float32. cameras (t 4 4), rows (t SLOTS 3 4), scene (27 4).

    Instances hold rectangle (left top right bottom in pixels), frame, slot, colour and number, finish: sky, floor and
    whole are (t 14), shadows and bodies (n t 14) by shape.
    """

    cameras: np.ndarray
    rows: np.ndarray
    scene: np.ndarray
    sky: np.ndarray
    floor: np.ndarray
    whole: np.ndarray
    shadows: dict[str, np.ndarray]
    bodies: dict[str, np.ndarray]


def rotation_matrices(q: np.ndarray) -> np.ndarray:
    """Quaternions w x y z (... 4) -> matrices local to world (... 3 3)."""
    w, x, y, z = np.moveaxis(np.asarray(q, dtype=float), -1, 0)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.stack([np.stack(row, axis=-1) for row in rows], axis=-2)


def place_prop(body: Body, scene: Scene, motion: Trajectory) -> tuple[np.ndarray, np.ndarray]:
    """Position (t 3) and rotation (t 3 3) of a prop; a string follows the object it holds."""
    frames = motion.position.shape[0]
    if body.role == "string":
        held = next(i for i, other in enumerate(scene.objects) if other.hangs)
        rotation = rotation_matrices(motion.rotation[:, held])
        return motion.position[:, held] + rotation[..., 2] * scene.objects[held].hangs / 2, rotation
    fixed = rotation_matrices(np.asarray(body.rotation))
    return np.broadcast_to(np.asarray(body.position), (frames, 3)), np.broadcast_to(fixed, (frames, 3, 3))


def corners(body: Body) -> np.ndarray:
    """The corners (8 3) of the local box around a shape."""
    x, y, z = body.size
    low, high = np.array([-x, -y, -z]), np.array([x, y, z])
    if body.shape == "cone":
        low, high = np.array([-x, -x, -y]), np.array([x, x, z])
    if body.shape == "capsule":
        low, high = np.array([-x, -x, -x - z]), np.array([x, x, x + z])
    pick = np.array([[i, j, k] for i in (0, 1) for j in (0, 1) for k in (0, 1)], dtype=bool)
    return np.where(pick, high, low)


def _rectangles(view: View, points: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Pixel rectangles (t 4) that hold the projections of points (t n 3), clipped to the picture."""
    at, depth = project(view, points)
    pixel = (at + 1) / 2 * np.array(size)
    low, high = np.floor(pixel.min(axis=1)) - 1, np.ceil(pixel.max(axis=1)) + 1
    unsure = depth.min(axis=1) < 0.1  # beside or behind the lens
    low[unsure], high[unsure] = 0, size
    return np.concatenate([np.clip(low, 0, size), np.clip(high, 0, size)], axis=1)


def _spread(points: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Points on the floor (t n 3) with four neighbours each at `margin` (t): (t 4n 3)."""
    offsets = np.array([[1, 1, 0], [1, -1, 0], [-1, 1, 0], [-1, -1, 0]], dtype=float)
    flat = points * np.array([1.0, 1.0, 0.0])
    spread = flat[:, :, None] + offsets * margin[:, None, None, None]
    return spread.reshape(len(points), -1, 3)


def lay_out(scene: Scene, motion: Trajectory, view: View, size: tuple[int, int]) -> Layout:
    """Everything the renderer uploads for a clip at (width, height)."""
    frames, count = motion.position.shape[:2]
    towards = _towards(scene)
    bodies: list[tuple[Body, int]] = [(body, i) for i, body in enumerate(scene.objects + scene.props)]
    assert len(bodies) <= SLOTS
    bodies.sort(key=lambda pair: (ORDER.index(pair[0].shape), pair[1]))
    rows, sizes = np.zeros((frames, SLOTS, 3, 4)), np.zeros((SLOTS, 4))
    shadows: dict[str, list[np.ndarray]] = {}
    solids: dict[str, list[np.ndarray]] = {}
    for slot, (body, index) in enumerate(bodies):
        if index < count:
            position, rotation = motion.position[:, index], rotation_matrices(motion.rotation[:, index])
        else:
            position, rotation = place_prop(body, scene, motion)
        rows[:, slot, :, :3] = np.swapaxes(rotation, -1, -2)
        rows[:, slot, :, 3] = -np.einsum("tji,tj->ti", rotation, position)
        sizes[slot] = (*body.size, bounding_radius(body.shape, body.size))
        hull = position[:, None] + np.einsum("tij,nj->tni", rotation, corners(body))
        material = MATERIALS[body.material]
        instance = np.zeros((frames, 14))
        instance[:, 4] = np.arange(frames)
        instance[:, 5] = slot
        instance[:, 6:9] = linear(COLOURS.get(body.colour, body.colour))
        instance[:, 9] = index + 1 if index < count else 0
        instance[:, 10:13] = material.reflect, material.gloss, material.metal
        instance[:, :4] = _rectangles(view, hull, size)
        solids.setdefault(body.shape, []).append(instance)
        cast = hull - towards * (hull[..., 2:] / towards[2])
        top = hull[..., 2].max(axis=1)
        soft = (top / towards[2] + 0.12) * scene.light.softness + 0.05
        reach = np.concatenate([_spread(cast, soft), _spread(hull, np.full(frames, BELOW))], axis=1)
        shadow = instance.copy()
        shadow[:, :4] = _rectangles(view, reach, size)
        shadow[:, 1] = np.maximum(shadow[:, 1], _horizon(view, size[1]))
        shadows.setdefault(body.shape, []).append(shadow)
    ends = np.cumsum([sum(body.shape == shape for body, _ in bodies) for shape in ORDER])
    cameras = np.zeros((frames, 4, 4))
    cameras[:, 0, :3], cameras[:, 3, :3] = view.eye, view.forward
    cameras[:, 1, :3], cameras[:, 2, :3] = view.right * view.tan[0], view.up * view.tan[1]
    sky, floor, whole = np.zeros((3, frames, 14))
    for part in (sky, floor, whole):
        part[:, 2:4] = size
        part[:, 4] = np.arange(frames)
    floor[:, 1] = sky[:, 3] = _horizon(view, size[1])
    return Layout(
        cameras=cameras.astype("f4"),
        rows=rows.astype("f4"),
        scene=np.concatenate([_lighting(scene, ends, towards), sizes]).astype("f4"),
        sky=sky,
        floor=floor,
        whole=whole,
        shadows={shape: np.stack(parts) for shape, parts in shadows.items()},
        bodies={shape: np.stack(parts) for shape, parts in solids.items()},
    )


def _horizon(view: View, height: int) -> np.ndarray:
    """First row of pixels (t) below the horizon."""
    s = view.forward[:, 2] / (view.up[:, 2] * view.tan[1])
    return np.clip(np.ceil((s + 1) / 2 * height), 0, height)


def _towards(scene: Scene) -> np.ndarray:
    light = scene.light
    flat = math.cos(light.elevation)
    return np.array(
        [flat * math.sin(light.azimuth), -flat * math.cos(light.azimuth), math.sin(light.elevation)]
    )


def _lighting(scene: Scene, ends: np.ndarray, towards: np.ndarray) -> np.ndarray:
    """The Scene block up to the sizes, (11 4)."""
    sky, floor, facts = SKIES[scene.sky], FLOORS[scene.floor], scene.facts
    turn, azimuth, height = facts["mat_turn"], facts["sun_azimuth"], facts["sun_height"]
    sun = math.cos(height) * math.sin(azimuth), math.cos(height) * math.cos(azimuth), math.sin(height)
    return np.array(
        [
            ends[:4],
            (*towards, ends[4]),
            (*(np.array(sky.key) * 0.92), 1.0 / scene.light.softness),
            (*linear(sky.zenith), facts["hill_height"]),
            (*linear(sky.horizon), sky.sun),
            (*linear(sky.hills), facts["hill_phase"]),
            (*linear(floor.colour), facts["fade"]),
            (*linear(floor.mat), facts["mat_corner"]),
            (facts["mat_x"], facts["mat_y"], math.cos(turn), math.sin(turn)),
            (facts["mat_width"], facts["mat_depth"], 0.10, EXPOSURE),
            (*sun, 0.0),
        ]
    )
