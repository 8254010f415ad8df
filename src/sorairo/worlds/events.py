"""The events: each draws the bodies that make it come about. All scales are metres, seconds, kilograms.

The stage is a strip a few metres wide around the origin; the camera looks along +y, so +x is right in the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from sorairo.worlds.palette import SIZES
from sorairo.worlds.scene import UPRIGHT, Body, Quaternion, Vector, half_extents

__all__ = ["STAGINGS", "Staged"]


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Bodies of an event. nearest: least camera distance for a pleasing frame. azimuth: limits of the camera's."""

    objects: tuple[Body, ...]
    props: tuple[Body, ...] = ()
    gravity: float = 6.0
    azimuth: float = 0.45
    elevation: tuple[float, float] = (0.13, 0.26)


@dataclass(frozen=True, kw_only=True)
class Hand:
    """What an event draws from: a generator and the shapes and sizes of the circle."""

    rng: np.random.Generator
    shapes: tuple[str, ...]

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def side(self) -> float:
        return -1.0 if self.rng.random() < 0.5 else 1.0

    def body(
        self, shapes: tuple[str, ...], sizes: tuple[str, ...] = ("small", "medium", "large"), **facts: object
    ) -> Body:
        """A body of one of `shapes` that the circle knows, standing at the origin."""
        shape = str(self.rng.choice([s for s in shapes if s in self.shapes]))
        size_name = str(self.rng.choice(sizes))
        radius = self.uniform(*SIZES[size_name])
        size = half_extents(shape, radius)
        body = Body(
            shape=shape, size=size, position=(0.0, 0.0, rest_height(shape, size)), size_name=size_name
        )
        return replace(body, **facts)  # pyright: ignore[reportArgumentType]


def rest_height(shape: str, size: Vector) -> float:
    """Height of the local origin when the shape stands upright on the floor."""
    return {"ball": size[0], "cone": size[1], "capsule": size[0] + size[2]}.get(shape, size[2])


def turned(axis: str, angle: float) -> Quaternion:
    """Rotation by `angle` radians about x, y or z."""
    half, sine = math.cos(angle / 2), math.sin(angle / 2)
    return (half, *(sine if axis == a else 0.0 for a in "xyz"))  # pyright: ignore[reportReturnType]


def times(a: Quaternion, b: Quaternion) -> Quaternion:
    """Rotation b, then a."""
    w, x, y, z = a
    e, f, g, h = b
    return (
        w * e - x * f - y * g - z * h,
        w * f + x * e + y * h - z * g,
        w * g - x * h + y * e + z * f,
        w * h + x * g - y * f + z * e,
    )


def drop(hand: Hand) -> Staged:
    """Falls from above the floor and bounces."""
    body = hand.body(("ball", "cube", "cylinder", "cone", "capsule"))
    ball = body.shape == "ball"
    bounce = hand.uniform(0.55, 0.86) if ball else hand.uniform(0.25, 0.55)
    tilt = (
        UPRIGHT if ball else times(turned("z", hand.uniform(0, 6.28)), turned("x", hand.uniform(-0.5, 0.5)))
    )
    drift = hand.uniform(-0.5, 0.5)
    position = (-0.6 * drift, hand.uniform(-0.2, 0.2), hand.uniform(1.5, 2.2))
    moved = replace(
        body,
        position=position,
        rotation=tilt,
        velocity=(drift, 0.0, 0.0),
        spin=(0.0, hand.uniform(-1.5, 1.5), 0.0),
        restitution=bounce,
        friction=hand.uniform(0.4, 0.8),
        role="falls",
    )
    return Staged(objects=(moved,), gravity=hand.uniform(5.0, 7.5))


def roll(hand: Hand) -> Staged:
    """Rolls along the floor at nearly constant speed."""
    body = hand.body(("ball", "cylinder"))
    side, speed = hand.side(), hand.uniform(0.75, 1.5)
    depth = hand.uniform(-0.25, 0.25)
    radius = body.size[0]
    lying = (
        UPRIGHT
        if body.shape == "ball"
        else times(turned("z", hand.uniform(-0.15, 0.15)), turned("x", math.pi / 2))
    )
    moved = replace(
        body,
        position=(-side * speed * hand.uniform(0.8, 1.05), depth, radius),
        rotation=lying,
        velocity=(side * speed, 0.0, 0.0),
        spin=(0.0, side * speed / radius, 0.0),
        friction=hand.uniform(0.5, 0.9),
        restitution=0.1,
        role="rolls",
    )
    return Staged(objects=(moved,), gravity=hand.uniform(5.0, 7.5))


def slide(hand: Hand) -> Staged:
    """Slides and comes to rest by friction within the clip."""
    body = hand.body(("cube", "cylinder", "cone"))
    gravity, side = hand.uniform(5.0, 7.5), hand.side()
    stop, friction = hand.uniform(1.1, 1.7), hand.uniform(0.12, 0.24)  # seconds; sliding friction
    speed = friction * gravity * stop
    reach = speed * stop / 2
    moved = replace(
        body,
        position=(-side * reach / 2, hand.uniform(-0.25, 0.25), body.position[2]),
        rotation=turned("z", hand.uniform(-0.6, 0.6)),
        velocity=(side * speed, 0.0, 0.0),
        friction=friction,
        restitution=0.05,
        role="slides",
    )
    return Staged(objects=(moved,), gravity=gravity)


STAGINGS: dict[str, Callable[[Hand], Staged]] = {"drop": drop, "roll": roll, "slide": slide}
