"""What events are staged with: a hand that draws bodies, and the poses and motions it can give them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sorairo.worlds.palette import SIZES
from sorairo.worlds.scene import UPRIGHT, Body, Quaternion, Size, half_extents

__all__ = ["Hand", "Staged", "lying_height", "moving", "prop", "resting", "times", "turned", "upright_height"]

PROP_COLOURS = ("#d8cfc2", "#a39b93", "#c9b08c", "#b9bfc6")


@dataclass(frozen=True, kw_only=True)
class Staged:
    """Bodies of an event, its actors first. azimuth, elevation: limits of the camera's place, radians."""

    objects: tuple[Body, ...]
    props: tuple[Body, ...] = ()
    gravity: float = 6.0
    azimuth: float = 0.40
    elevation: tuple[float, float] = (0.13, 0.26)
    beside: bool = False  # bystanders stand at the sides, not along the path
    hidden: bool = False  # an actor may be out of sight at times


@dataclass(frozen=True, kw_only=True)
class Hand:
    """What an event draws from. seconds: the length of the clip; count: how many objects it is to hold."""

    rng: np.random.Generator
    shapes: tuple[str, ...]
    sizes: tuple[str, ...]
    seconds: float
    count: int

    def uniform(self, low: float, high: float) -> float:
        return float(self.rng.uniform(low, high))

    def chance(self, probability: float) -> bool:
        return float(self.rng.random()) < probability

    def side(self) -> float:
        return -1.0 if self.chance(0.5) else 1.0

    def body(self, *shapes: str, sizes: tuple[str, ...] = ()) -> Body:
        """A body of one of these shapes and sizes, as far as the circle knows them, upright at the origin."""
        shape = str(self.rng.choice([s for s in shapes if s in self.shapes] or [shapes[0]]))
        allowed = [s for s in sizes or self.sizes if s in self.sizes] or [(sizes or self.sizes)[0]]
        name = str(self.rng.choice(allowed))
        size = half_extents(shape, self.uniform(*SIZES[name]))
        return Body(shape=shape, size=size, position=(0.0, 0.0, upright_height(shape, size)), size_name=name)


def upright_height(shape: str, size: Size) -> float:
    """Height of the local origin when the shape stands on the floor."""
    return {"ball": size[0], "cone": size[1], "capsule": size[0] + size[2]}.get(shape, size[2])


def lying_height(body: Body) -> float:
    """Height of the local origin when the body rests as `resting` lays it."""
    return body.size[0] if body.shape == "capsule" else upright_height(body.shape, body.size)


def turned(axis: str, angle: float) -> Quaternion:
    """Rotation by `angle` radians about x, y or z."""
    half, sine = math.cos(angle / 2), math.sin(angle / 2)
    return (half, sine * (axis == "x"), sine * (axis == "y"), sine * (axis == "z"))


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


def resting(body: Body, x: float, y: float, yaw: float, base: float = 0.0) -> Body:
    """The body at rest on a level of height `base`: capsules lie, everything else stands."""
    lie = turned("x", math.pi / 2) if body.shape == "capsule" else UPRIGHT
    return replace(body, position=(x, y, base + lying_height(body)), rotation=times(turned("z", yaw), lie))


def moving(hand: Hand, body: Body, x: float, y: float, velocity: float, base: float = 0.0) -> Body:
    """The body on a level of height `base`, moving along x: round ones roll across their axis, the rest slide."""
    rolls = body.shape in ("ball", "capsule") or (body.shape == "cylinder" and body.friction > 0.3)
    if not rolls:
        put = resting(body, x, y, hand.uniform(-0.5, 0.5), base)
        return replace(put, velocity=(velocity, 0.0, 0.0))
    radius = body.size[0]
    lie = (
        UPRIGHT
        if body.shape == "ball"
        else times(turned("z", hand.uniform(-0.12, 0.12)), turned("x", math.pi / 2))
    )
    return replace(
        body,
        position=(x, y, base + radius),
        rotation=lie,
        velocity=(velocity, 0.0, 0.0),
        spin=(0.0, velocity / radius, 0.0),
    )


def prop(
    hand: Hand, role: str, size: Size, position: tuple[float, float, float], rotation: Quaternion = UPRIGHT
) -> Body:
    """A block of the set, in a quiet colour."""
    return Body(
        shape="cube",
        size=size,
        position=position,
        rotation=rotation,
        colour=str(hand.rng.choice(PROP_COLOURS)),
        role=role,
        prop=True,
    )
