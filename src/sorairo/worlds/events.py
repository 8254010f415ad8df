"""The events: each stages the bodies that should make it come about; story.py then sees whether it did.

Metres, seconds, kilograms. The action is a strip along x around the origin; the camera looks along +y, so +x is right
in the picture. Numbers are drawn from continuous ranges that fill the frame within two seconds.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from sorairo.worlds.scene import Body
from sorairo.worlds.staging import Hand, Staged, moving, prop, resting, times, turned, upright_height

__all__ = ["ACTORS", "STAGINGS", "add_bystanders"]

# How many objects act in each event, at least.
ACTORS = {"collide": 2, "crash": 2, "topple": 2, "collapse": 3}


def falling(hand: Hand, body: Body, x: float, height: float) -> Body:
    """The body in the air, about to fall."""
    ball = body.shape == "ball"
    tilt = times(turned("z", hand.uniform(0.0, 6.28)), turned("x", hand.uniform(-0.5, 0.5)))
    drift = hand.uniform(-0.45, 0.45) if hand.count == 1 else hand.uniform(-0.15, 0.15)
    return replace(
        body,
        position=(x - 0.5 * drift, hand.uniform(-0.2, 0.2), height),
        rotation=(1.0, 0.0, 0.0, 0.0) if ball else tilt,
        velocity=(drift, 0.0, 0.0),
        spin=(0.0, hand.uniform(-1.5, 1.5), 0.0),
        restitution=hand.uniform(0.55, 0.86) if ball else hand.uniform(0.25, 0.55),
        friction=hand.uniform(0.4, 0.8),
        role="falls",
    )


def drop(hand: Hand) -> Staged:
    """One falls and bounces; with two or more objects, sometimes two fall from different heights."""
    gravity = hand.uniform(5.0, 7.5)
    shapes = ("ball", "cube", "cylinder", "cone", "capsule")
    if hand.count > 1 and hand.chance(0.5):
        gap, high = hand.uniform(0.5, 0.75), hand.uniform(0.45, 0.8)
        low = hand.uniform(0.75, 1.0)
        sides = hand.side()
        first = falling(hand, hand.body(*shapes, sizes=("small", "medium")), -sides * gap, low)
        second = falling(hand, hand.body(*shapes, sizes=("small", "medium")), sides * gap, low + high)
        return Staged(objects=(first, second), gravity=gravity, beside=True)
    body = falling(hand, hand.body(*shapes), 0.0, hand.uniform(1.25, 1.8))
    return Staged(objects=(body,), gravity=gravity, beside=True)


def roll(hand: Hand) -> Staged:
    """One rolls along the floor at nearly constant speed."""
    body = replace(hand.body("ball", "cylinder", "capsule"), friction=hand.uniform(0.5, 0.9), restitution=0.1)
    side, path = hand.side(), hand.uniform(1.4, 2.3)
    speed = path / hand.seconds
    actor = moving(hand, body, -side * path / 2, hand.uniform(-0.15, 0.15), side * speed)
    return Staged(objects=(replace(actor, role="rolls"),), gravity=hand.uniform(5.0, 7.5))


def slide(hand: Hand) -> Staged:
    """One slides and comes to rest by friction."""
    gravity, side = hand.uniform(5.0, 7.5), hand.side()
    stop, path = hand.uniform(0.55, 0.8) * min(hand.seconds, 2.6), hand.uniform(0.9, 1.6)
    speed = 2.0 * path / stop
    body = replace(hand.body("cube", "cylinder", "cone"), friction=speed / stop / gravity, restitution=0.05)
    actor = moving(hand, body, -side * path / 2, hand.uniform(-0.15, 0.15), side * speed)
    return Staged(objects=(replace(actor, role="slides"),), gravity=gravity)


def ramp(hand: Hand) -> Staged:
    """One rolls or slides down a ramp and on along the floor."""
    side, angle, length = hand.side(), hand.uniform(0.36, 0.52), hand.uniform(1.05, 1.3)
    body = replace(
        hand.body("ball", "cylinder", "capsule", "cube", sizes=("small", "medium")), restitution=0.05
    )
    rolls = body.shape != "cube"
    body = replace(body, friction=hand.uniform(0.6, 0.9) if rolls else hand.uniform(0.08, 0.18))
    # The ramp is a thick block, turned about y and sunk into the floor, its upper face meeting it at `foot`.
    foot, down = 0.0, -side * angle  # rotation about y that lowers the +side end
    slope = (side * math.cos(angle), -math.sin(angle))
    normal = (side * math.sin(angle), math.cos(angle))
    thick, width = 0.6, hand.uniform(0.42, 0.6)
    middle = (foot - slope[0] * length / 2, -slope[1] * length / 2)
    spot = (middle[0] - thick * normal[0], middle[1] - thick * normal[1])
    turn = turned("y", -down)
    block = prop(hand, "ramp", (length / 2, width, thick), (spot[0], 0.0, spot[1]), turn)
    up = length * hand.uniform(0.80, 0.88)
    rest = body.size[0] + 0.002 if rolls else body.size[2] + 0.002
    x = foot - slope[0] * up + normal[0] * rest
    z = -slope[1] * up + normal[1] * rest
    start = hand.uniform(0.0, 0.4)
    lie = turned("x", math.pi / 2) if body.shape in ("cylinder", "capsule") else (1.0, 0.0, 0.0, 0.0)
    actor = replace(
        body,
        position=(x, 0.0, z),
        rotation=lie if rolls else turn,
        velocity=(start * slope[0], 0.0, start * slope[1]),
        spin=(0.0, side * start / body.size[0], 0.0) if rolls else (0.0, 0.0, 0.0),
        role="descends",
    )
    return Staged(objects=(actor,), props=(block,), gravity=hand.uniform(4.2, 6.0), azimuth=0.3)


def collide(hand: Hand) -> Staged:
    """One moves into another that stands, and sets it in motion."""
    side, speed, wait = hand.side(), hand.uniform(1.15, 1.65), hand.uniform(0.45, 0.65)
    mover = replace(hand.body("ball", "cube", "cylinder", "capsule"), density=800.0)
    mover = replace(
        mover, friction=hand.uniform(0.5, 0.8) if mover.shape == "ball" else hand.uniform(0.04, 0.10)
    )
    other = replace(hand.body("ball", "cube", "cylinder"), friction=hand.uniform(0.06, 0.16), density=450.0)
    bounce = hand.uniform(0.3, 0.75)
    gap = speed * wait + mover.size[0] + other.size[0]
    first = moving(hand, replace(mover, restitution=bounce), -side * gap, 0.0, side * speed)
    second = resting(
        replace(other, restitution=bounce), 0.0, hand.uniform(-0.06, 0.06), hand.uniform(-0.5, 0.5)
    )
    actors = (replace(first, role="hits"), replace(second, role="is hit"))
    return Staged(objects=actors, gravity=hand.uniform(5.0, 7.5))


def crash(hand: Hand) -> Staged:
    """Two move towards each other and collide."""
    side, wait = hand.side(), hand.uniform(0.5, 0.7)
    actors = []
    bounce, fast = hand.uniform(0.5, 0.85), (hand.uniform(0.8, 1.25), hand.uniform(0.8, 1.25))
    for sign, speed in zip((-side, side), fast, strict=True):
        body = hand.body("ball", "cube", "cylinder", "capsule")
        grip = hand.uniform(0.5, 0.8) if body.shape == "ball" else hand.uniform(0.04, 0.10)
        body = replace(body, friction=grip, restitution=bounce)
        x = sign * (speed * wait + body.size[0])
        actors.append(replace(moving(hand, body, x, hand.uniform(-0.05, 0.05), -sign * speed), role="hits"))
    return Staged(objects=tuple(actors), gravity=hand.uniform(5.0, 7.5))


def topple(hand: Hand) -> Staged:
    """One runs into a tall one and knocks it over."""
    side, speed, wait = hand.side(), hand.uniform(1.7, 2.5), hand.uniform(0.4, 0.6)
    mover = replace(hand.body("ball", sizes=("large",)), density=1500.0)
    mover = replace(mover, friction=hand.uniform(0.5, 0.8), restitution=0.2)
    tall = hand.body("cylinder", sizes=("medium",))
    radius, half = hand.uniform(0.125, 0.155), hand.uniform(0.46, 0.58)
    size = (radius, radius, half)
    tall = replace(tall, size=size, density=300.0, friction=hand.uniform(1.0, 1.5), restitution=0.1)
    gap = speed * wait + mover.size[0] + size[0]
    first = moving(hand, mover, -side * gap, 0.0, side * speed)
    second = resting(tall, 0.0, hand.uniform(-0.04, 0.04), 0.0)
    actors = (replace(first, role="knocks"), replace(second, role="is knocked"))
    return Staged(objects=actors, gravity=hand.uniform(5.5, 8.0))


def collapse(hand: Hand) -> Staged:
    """A leaning tower of three or four falls over."""
    side, levels = hand.side(), max(3, min(hand.count, 4))
    shape = "cube" if hand.chance(0.6) else "cylinder"
    base = hand.body(shape, sizes=("medium",) if levels == 3 else ("small",))
    lean, push = hand.uniform(0.62, 0.85) * base.size[0], hand.uniform(0.2, 0.5)
    yaw, height, actors = hand.uniform(-0.3, 0.3), 0.0, []
    for level in range(levels):
        block = replace(
            base, friction=hand.uniform(0.5, 0.8), restitution=hand.uniform(0.05, 0.25), density=500.0
        )
        put = resting(block, side * lean * (level - 1), hand.uniform(-0.02, 0.02), yaw, height)
        actors.append(replace(put, velocity=(side * push * level, 0.0, 0.0), role="falls over"))
        height += 2.0 * upright_height(base.shape, base.size)
    return Staged(objects=tuple(actors), gravity=hand.uniform(5.0, 7.0), beside=True)


def swing(hand: Hand) -> Staged:
    """One swings on a string from a beam."""
    side, length, angle = hand.side(), hand.uniform(1.0, 1.35), hand.uniform(0.6, 1.0)
    body = replace(hand.body("ball", "cube", "cylinder", "cone", sizes=("small", "medium")), role="swings")
    low = upright_height(body.shape, body.size) + hand.uniform(0.12, 0.3)
    pivot = low + length
    tilt = turned("y", side * angle)  # the local z axis leans, so the body hangs out to the other side
    at = (-side * length * math.sin(angle), 0.0, pivot - length * math.cos(angle))
    actor = replace(body, position=at, rotation=tilt, hangs=length)
    string = Body(
        shape="capsule",
        size=(0.014, 0.014, length / 2),
        position=at,
        colour="#e9e4da",
        role="string",
        prop=True,
    )
    beam = prop(hand, "beam", (2.6, 0.06, 0.05), (0.0, 0.0, pivot + 0.05))
    return Staged(objects=(actor,), props=(string, beam), gravity=hand.uniform(7.0, 9.8), azimuth=0.3)


def hide(hand: Hand) -> Staged:
    """One goes behind a wall, and comes out at the other side or stays there."""
    side, stays = hand.side(), hand.chance(0.4)
    body = hand.body("ball", "cube", "cylinder", sizes=("small", "medium"))
    gravity = hand.uniform(5.0, 7.5)
    reach = max(body.size)
    half = reach + hand.uniform(0.14, 0.26)
    start = half + reach + hand.uniform(0.16, 0.34)
    if stays:
        stop = hand.uniform(0.5, 0.7) * min(hand.seconds, 2.6)
        speed = 2.0 * start / stop
        drag = speed / stop / gravity
        ball = body.shape == "ball"  # a solid ball rolls as if 1.4 times as heavy
        body = replace(body, friction=0.8 if ball else drag, rolling=1.4 * drag * reach if ball else 0.0)
    else:
        speed = 2.0 * start / (hand.uniform(0.8, 0.95) * min(hand.seconds, 3.0))
        body = replace(body, friction=0.004 if body.shape == "cube" else 0.8)
    actor = replace(moving(hand, body, -side * start, 0.0, side * speed), role="hides", restitution=0.05)
    tall = reach + hand.uniform(0.18, 0.3)
    wall = prop(hand, "wall", (half, 0.06, tall), (0.0, -reach - hand.uniform(0.15, 0.25), tall))
    return Staged(
        objects=(actor,), props=(wall,), gravity=gravity, azimuth=0.12, elevation=(0.10, 0.17), hidden=True
    )


def edge(hand: Hand) -> Staged:
    """One is pushed off the edge of a table and falls to the floor."""
    side, height = hand.side(), hand.uniform(0.5, 0.7)
    body = hand.body("ball", "cube", "cylinder", "cone", sizes=("small", "medium"))
    grip = 0.7 if body.shape == "ball" else hand.uniform(0.05, 0.12)
    body = replace(body, friction=grip, restitution=hand.uniform(0.25, 0.65))
    half, speed = hand.uniform(0.55, 0.75), hand.uniform(0.9, 1.4)
    actor = moving(
        hand, body, side * half - side * speed * hand.uniform(0.35, 0.55), 0.0, side * speed, height
    )
    table = prop(hand, "table", (half, hand.uniform(0.4, 0.55), height / 2), (0.0, 0.0, height / 2))
    return Staged(objects=(replace(actor, role="goes over"),), props=(table,), gravity=hand.uniform(5.5, 8.0))


STAGINGS: dict[str, Callable[[Hand], Staged]] = {
    "drop": drop,
    "roll": roll,
    "slide": slide,
    "ramp": ramp,
    "collide": collide,
    "crash": crash,
    "topple": topple,
    "collapse": collapse,
    "swing": swing,
    "hide": hide,
    "edge": edge,
}


def add_bystanders(hand: Hand, staged: Staged) -> Staged:
    """The scene with standing objects up to the hand's count, out of the way of what happens."""
    objects = list(staged.objects)
    width = max(max(body.size) for body in staged.objects)
    for prop_body in staged.props:
        width = max(width, prop_body.size[1] if prop_body.role in ("ramp", "table") else 0.0)
    tries = 0
    while len(objects) < hand.count and tries < 60:
        body = hand.body("ball", "cube", "cylinder", "cone", "capsule", sizes=("small", "medium", "large"))
        side, own = hand.side(), max(body.size)
        if staged.beside:
            x, y = side * hand.uniform(0.75, 1.15), hand.uniform(-0.25, 0.5)
        else:
            behind = staged.hidden or hand.chance(0.7)
            away = width + own + hand.uniform(0.12, 0.5)
            x, y = side * hand.uniform(0.0, 0.9), away if behind else -away
        put = resting(body, x, y, hand.uniform(-0.6, 0.6))
        tries += 1
        if any(_near(put, other) for other in objects):
            continue
        objects.append(replace(put, role="stands", friction=0.7))
    return replace(staged, objects=tuple(objects))


def _near(one: Body, other: Body) -> bool:
    """True if two bodies start closer, seen from above, than a hand's breadth."""
    gap = math.hypot(one.position[0] - other.position[0], one.position[1] - other.position[1])
    return gap < 1.3 * (max(one.size) + max(other.size)) + 0.08
