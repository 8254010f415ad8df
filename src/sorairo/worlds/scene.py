"""What a clip is before it moves: bodies, props, light and camera, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Body", "Light", "Scene", "Size", "apparent_width", "bounding_radius", "half_extents"]

Vector = tuple[float, float, float]
Size = tuple[float, float, float]
Quaternion = tuple[float, float, float, float]  # w x y z
UPRIGHT: Quaternion = (1.0, 0.0, 0.0, 0.0)


def half_extents(shape: str, radius: float) -> Size:
    """The three lengths that define a shape of nominal radius (metres).

    ball: r, r, r. cube: half edges. cylinder: radius, radius, half height. cone: base radius, centre to base, centre
    to apex (the local origin is the centre of mass). capsule: radius, radius, half length between the cap centres.
    """
    match shape:
        case "ball":
            return radius, radius, radius
        case "cube":
            return 0.80 * radius, 0.80 * radius, 0.80 * radius
        case "cylinder":
            return 0.74 * radius, 0.74 * radius, 0.86 * radius
        case "cone":
            return 0.90 * radius, 0.48 * radius, 1.44 * radius
        case "capsule":
            return 0.55 * radius, 0.55 * radius, 0.62 * radius
    raise AssertionError(shape)


def bounding_radius(shape: str, size: Size) -> float:
    """Radius of the sphere around the local origin that holds the shape."""
    x, y, z = size
    match shape:
        case "ball":
            return x
        case "cylinder":
            return float(np.hypot(x, z))
        case "cone":
            return float(max(np.hypot(x, y), z))
        case "capsule":
            return x + z
    return float(np.sqrt(x * x + y * y + z * z))


def apparent_width(shape: str, size: Size) -> float:
    """Diameter of the disc that covers about as much of the picture as the shape, metres."""
    x, y, z = size
    area = {
        "ball": np.pi * x * x,
        "cube": 4.6 * x * z,
        "cylinder": 4.0 * x * z,
        "cone": x * (y + z),
        "capsule": 4.0 * x * z + np.pi * x * x,
    }[shape]
    return 2.0 * float(np.sqrt(area / np.pi))


@dataclass(frozen=True, kw_only=True)
class Body:
    """One solid. A prop (ramp, wall, table, string) does not move by itself and is not counted as an object.

    size: see half_extents. colour: a name of the palette for objects, '#rrggbb' for props. Lengths in metres,
    velocity m/s, spin rad/s in the world frame. hangs: length of the string, if it swings from one; the body's
    position is then where it starts, and the pivot lies `hangs` along its local z axis. rolling: MuJoCo's coefficient
    of rolling friction, metres.
    """

    shape: str
    size: Size
    position: Vector
    rotation: Quaternion = UPRIGHT
    velocity: Vector = (0.0, 0.0, 0.0)
    spin: Vector = (0.0, 0.0, 0.0)
    colour: str = "grey"
    material: str = "matte"
    size_name: str = "medium"
    density: float = 600.0
    friction: float = 0.6
    restitution: float = 0.3
    rolling: float = 0.0
    role: str = ""
    prop: bool = False
    hangs: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Light:
    """The key light. azimuth and elevation in radians; softness: width of the penumbra, 0.1 crisp to 0.3 soft."""

    azimuth: float
    elevation: float
    softness: float


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Everything that decides a clip but the lens: what stands where, on which floor, under which sky.

    gravity in m/s2. objects come first in every state array, in this order. facing: azimuth of the camera, radians.
    """

    event: str
    objects: tuple[Body, ...]
    props: tuple[Body, ...]
    floor: str
    sky: str
    gravity: float
    light: Light
    camera: str
    facts: dict[str, float] = field(default_factory=dict)
