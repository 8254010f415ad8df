"""The simulation against the laws that it should obey."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sorairo.worlds.physics import simulate
from sorairo.worlds.scene import Body, Light, Scene, half_extents
from sorairo.worlds.story import bounces

BALL = Body(shape="ball", size=half_extents("ball", 0.3), position=(0.0, 0.0, 1.5), role="falls")


def scene(*objects: Body, gravity: float = 6.0) -> Scene:
    return Scene(
        event="drop",
        objects=objects,
        props=(),
        floor="cream",
        sky="clear",
        gravity=gravity,
        light=Light(azimuth=0.5, elevation=1.0, softness=0.15),
        camera="still",
    )


def test_free_fall() -> None:
    motion = simulate(scene(replace(BALL, velocity=(0.4, 0.0, 0.0))), 5, 8.0)
    t = np.arange(5) / 8.0
    assert np.allclose(motion.position[:, 0, 2], 1.5 - 3.0 * t**2, atol=4e-3)
    assert np.allclose(motion.position[:, 0, 0], 0.4 * t, atol=1e-3)
    assert np.allclose(motion.velocity[:, 0, 2], -6.0 * t, atol=1e-2)


@pytest.mark.parametrize("restitution", [0.3, 0.6, 0.85])
def test_restitution(restitution: float) -> None:
    motion = simulate(scene(replace(BALL, restitution=restitution)), 260, 120.0)
    vertical = motion.velocity[:, 0, 2]
    fallen = math.sqrt(2 * 6.0 * (1.5 - 0.3))
    assert vertical.max() / fallen == pytest.approx(restitution, abs=0.025)


def test_friction_stops_a_cube() -> None:
    cube = Body(
        shape="cube", size=(0.2, 0.2, 0.2), position=(0.0, 0.0, 0.2), velocity=(1.2, 0.0, 0.0), friction=0.2
    )
    motion = simulate(scene(cube), 17, 8.0)
    assert motion.position[-1, 0, 0] == pytest.approx(1.2**2 / (2 * 0.2 * 6.0), rel=0.08)
    assert np.abs(motion.velocity[-1]).max() < 0.02


def test_a_ball_rolls_on() -> None:
    rolling = replace(
        BALL, position=(0.0, 0.0, 0.3), velocity=(1.0, 0.0, 0.0), spin=(0.0, 1.0 / 0.3, 0.0), friction=0.7
    )
    motion = simulate(scene(rolling), 17, 8.0)
    assert motion.velocity[-1, 0, 0] == pytest.approx(1.0, rel=0.02)
    assert motion.spin[-1, 0, 1] * 0.3 == pytest.approx(motion.velocity[-1, 0, 0], rel=0.02)


def test_a_pendulum_keeps_time() -> None:
    length, angle = 1.2, 0.2
    at = (-length * math.sin(angle), 0.0, 2.0 - length * math.cos(angle))
    small = replace(BALL, size=half_extents("ball", 0.05), hangs=length, position=at, role="swings")
    tilted = replace(small, rotation=(math.cos(angle / 2), 0.0, math.sin(angle / 2), 0.0))
    motion = simulate(scene(tilted), 400, 120.0)
    x = motion.position[:, 0, 0]
    crossings = np.flatnonzero(np.diff(np.sign(x)) != 0) / 120.0
    assert 2 * np.diff(crossings).mean() == pytest.approx(2 * math.pi * math.sqrt(length / 6.0), rel=0.02)


def test_momentum_is_kept_when_balls_meet() -> None:
    left = replace(BALL, position=(-0.5, 0.0, 2.0), velocity=(1.0, 0.0, 0.0), restitution=0.8)
    right = replace(BALL, position=(0.5, 0.0, 2.0), velocity=(-0.5, 0.0, 0.0), restitution=0.8)
    motion = simulate(scene(left, right, gravity=0.01), 17, 8.0)
    along = motion.velocity[..., 0]
    assert motion.contacts[:, 0, 1].any()
    assert np.allclose(along.sum(axis=1), 0.5, atol=1e-2)
    assert along[-1, 1] - along[-1, 0] == pytest.approx(0.8 * 1.5, rel=0.1)


def test_bounces_counts_flights() -> None:
    flight, floor = [False] * 40, [True] * 3
    assert bounces(np.array(flight + floor)) == 0
    assert bounces(np.array(flight + floor + flight + floor)) == 1
    assert bounces(np.array(flight + floor + [False] * 6 + floor)) == 0
    assert bounces(np.array(flight + floor + flight + floor + [False] * 25)) == 2
    assert bounces(np.zeros(9, dtype=bool)) == 0
