"""Pictures against the geometry that they show."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from sorairo.worlds import WorldClip
from sorairo.worlds.cameras import Shot, frame_shot, project
from sorairo.worlds.circles import CIRCLES
from sorairo.worlds.palette import COLOURS, FLOORS, linear
from sorairo.worlds.physics import Trajectory
from sorairo.worlds.render import renderer
from sorairo.worlds.scene import Body, Light, Scene, bounding_radius, half_extents
from sorairo.worlds.staging import Staged, resting, turned
from sorairo.worlds.studio import dress

SHOT = Shot(move="still", amount=0.0, azimuth=0.2, elevation=0.2, field=0.6, sky=0.05)


def held(*objects: Body, floor: str = "cream") -> tuple[Scene, Trajectory]:
    """A scene whose bodies stay where they are, in even light."""
    staged = Staged(objects=objects)
    scene = dress(staged, np.random.default_rng(0), CIRCLES[0], "drop")
    scene = replace(scene, floor=floor, sky="clear", light=Light(azimuth=0.6, elevation=1.0, softness=0.15))
    n = len(objects)
    zeros = np.zeros((1, n, 3))
    return scene, Trajectory(
        position=np.array([[body.position for body in objects]]),
        rotation=np.array([[body.rotation for body in objects]]),
        velocity=zeros,
        spin=zeros,
        contacts=np.zeros((1, n, n + 2), dtype=bool),
        touch=np.zeros((1, n, n + 2), dtype=bool),
        stable=True,
    )


def draw(*objects: Body, size: tuple[int, int] = (96, 96), floor: str = "cream"):
    scene, motion = held(*objects, floor=floor)
    radii = np.array([bounding_radius(body.shape, body.size) for body in objects])
    view = frame_shot(SHOT, size, motion.position, radii, 3.6)
    return renderer().draw(scene, motion, view, size), view, motion


def solid(shape: str, colour: str = "red", x: float = 0.0, y: float = 0.0) -> Body:
    body = Body(shape=shape, size=half_extents(shape, 0.35), position=(0.0, 0.0, 0.0), colour=colour)
    return resting(body, x, y, 0.3)


def inside(body: Body, points: np.ndarray) -> np.ndarray:
    """Which local points (n 3) lie in the shape."""
    x, y, z = body.size
    r, h = np.hypot(points[:, 0], points[:, 1]), points[:, 2]
    match body.shape:
        case "ball":
            return np.linalg.norm(points, axis=1) < x
        case "cube":
            return (np.abs(points) < body.size).all(axis=1)
        case "cylinder":
            return (r < x) & (np.abs(h) < z)
        case "cone":
            return (h > -y) & (r < x * (z - h) / (z + y))
    return np.hypot(r, np.maximum(np.abs(h) - z, 0)) < x


@pytest.mark.parametrize("shape", ["ball", "cube", "cylinder", "cone", "capsule"])
def test_the_mask_is_the_silhouette(shape: str) -> None:
    """Points thrown into the solid, projected, cover the mask and nothing else."""
    body = replace(solid(shape), rotation=turned("y", 0.7), position=(0.0, 0.0, 0.9))
    picture, view, _ = draw(body)
    rng = np.random.default_rng(1)
    points = rng.uniform(-0.8, 0.8, (400_000, 3))
    points = points[inside(body, points)]
    w, x, y, z = body.rotation
    axis, cosine, sine = (
        np.array([x, y, z]) / np.linalg.norm([x, y, z]),
        2 * w * w - 1,
        2 * w * np.hypot(x, y),
    )
    turned_points = (
        points * cosine + np.cross(axis, points) * sine + np.outer(points @ axis, axis) * (1 - cosine)
    )
    at, _ = project(view, (turned_points + body.position)[None])
    pixel = np.floor((at[0] + 1) / 2 * 96).astype(int)
    shadow = np.zeros((96, 96), dtype=bool)
    shadow[pixel[:, 1], pixel[:, 0]] = True
    mask = picture.masks[0] == 1
    assert mask.sum() > 150
    assert (shadow & mask).sum() / (
        shadow | mask
    ).sum() > 0.88  # shadow marks pixels touched, mask most covered


def test_nearer_hides_farther_and_both_are_counted_alone() -> None:
    near, far = solid("cube", "red", y=-0.6), solid("ball", "blue", y=0.6)
    picture, _, _ = draw(near, far)
    alone = [(picture.alone[0] >> i) & 1 == 1 for i in (0, 1)]
    assert alone[0].sum() > 100 and alone[1].sum() > 100
    both = alone[0] & alone[1]
    assert both.any() and (picture.masks[0][both] == 1).mean() > 0.9


def test_a_shadow_falls_away_from_the_light() -> None:
    body = replace(solid("ball"), position=(0.0, 0.0, 1.0))
    lit, view, _ = draw(body)
    scene, motion = held(replace(body, position=(0.0, 0.0, 30.0)))
    clear = renderer().draw(scene, replace(motion), view, (96, 96))
    darker = clear.frames[0].astype(int).sum(axis=-1) - lit.frames[0].astype(int).sum(axis=-1)
    _ys, xs = np.nonzero((darker > 40) & (lit.masks[0] == 0))
    centre = (project(view, np.array([[[0.0, 0.0, 0.0]]]))[0][0, 0] + 1) / 2 * 96
    assert len(xs) > 20 and xs.mean() < centre[0]  # the key light stands at the right


@pytest.mark.parametrize("colour", list(COLOURS))
def test_colours_keep_their_hue_and_leave_every_floor(colour: str) -> None:
    """The mean of an object's pixels is nearer to its own name than to any other, and apart from the floor."""
    picture, _, _ = draw(solid("ball", colour))
    pixels = picture.frames[0][picture.masks[0] == 1].astype(float)
    lit = np.median(pixels[pixels.sum(axis=1) >= np.median(pixels.sum(axis=1))], axis=0) / 255
    linear_lit = ((lit + 0.055) / 1.055) ** 2.4
    gaps = {
        name: np.linalg.norm(linear_lit ** (1 / 3) - linear(value) ** (1 / 3))
        for name, value in COLOURS.items()
    }
    assert min(gaps, key=lambda name: gaps[name]) == colour
    for floor in FLOORS:
        assert np.abs(linear(FLOORS[floor].colour) ** 0.4 - linear(COLOURS[colour]) ** 0.4).max() > 0.07


def test_objects_are_seen_where_the_state_says(clips: list[WorldClip]) -> None:
    for clip in clips:
        assert clip.masks is not None
        for index in range(len(clip.state["objects"])):
            for frame in range(0, 17, 4):
                left, top, right, bottom = clip.state["box"][frame, index]
                x, y = clip.state["centre"][frame, index]
                assert left - 1 <= x <= right + 1 and top - 1 <= y <= bottom + 1
                ys, xs = np.nonzero(clip.masks[frame] == index + 1)
                if len(xs):
                    assert left <= xs.min() and xs.max() < right and top <= ys.min() and ys.max() < bottom


def test_objects_are_large_enough_to_read(clips: list[WorldClip]) -> None:
    for clip in clips:
        box = clip.state["box"][:, 0]
        assert np.nanmax(box[:, 2:] - box[:, :2], axis=1).min() > 0.1 * 64


def test_frames_are_smooth_and_move(clips: list[WorldClip]) -> None:
    for clip in clips:
        frames = clip.video.frames.astype(int)
        assert np.abs(np.diff(frames, axis=0)).mean() > 0.1
        floor = clip.masks == 0
        steps = np.abs(np.diff(frames, axis=2)).sum(axis=-1)
        quiet = floor[:, :, 1:] & floor[:, :, :-1]
        assert np.median(steps[quiet]) <= 6
