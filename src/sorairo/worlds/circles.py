"""Widening circles of difficulty: what a clip of each may hold. The last is the whole world."""

from __future__ import annotations

from dataclasses import dataclass

from sorairo.types import UserError
from sorairo.worlds.cameras import CAMERAS
from sorairo.worlds.palette import COLOURS, FLOORS, MATERIALS, SHAPES, SIZES, SKIES
from sorairo.worlds.splits import EVENTS

__all__ = ["CIRCLES", "Circle", "get_circle"]


@dataclass(frozen=True, kw_only=True)
class Circle:
    """Names that may be drawn, each with equal chance. objects: how many may be in a clip."""

    objects: tuple[int, ...]
    events: tuple[str, ...]
    cameras: tuple[str, ...]
    floors: tuple[str, ...]
    skies: tuple[str, ...]
    materials: tuple[str, ...] = tuple(MATERIALS)
    shapes: tuple[str, ...] = SHAPES
    colours: tuple[str, ...] = tuple(COLOURS)
    sizes: tuple[str, ...] = tuple(SIZES)


CIRCLES = (
    Circle(
        objects=(1,),
        events=("drop", "roll", "slide"),
        cameras=("still",),
        floors=("cream", "slate"),
        skies=("clear", "sunset"),
        materials=("matte", "shiny"),
    ),
    Circle(
        objects=(1, 2),
        events=("drop", "roll", "slide", "ramp", "collide"),
        cameras=("still", "pan", "dolly"),
        floors=("cream", "slate", "sage", "rose"),
        skies=("clear", "sunset", "dusk"),
    ),
    Circle(
        objects=(1, 2, 3),
        events=("drop", "roll", "slide", "ramp", "collide", "topple", "swing", "hide", "edge"),
        cameras=("still", "pan", "orbit", "dolly"),
        floors=("cream", "slate", "sage", "rose", "sand", "mint"),
        skies=("clear", "overcast", "sunset", "dusk"),
    ),
    Circle(objects=(1, 2, 3, 4), events=EVENTS, cameras=CAMERAS, floors=tuple(FLOORS), skies=tuple(SKIES)),
)


def get_circle(number: int) -> Circle:
    """Circle by number. Raises UserError for a number that is none."""
    if not 0 <= number < len(CIRCLES):
        raise UserError(f"Circles go from 0 to {len(CIRCLES) - 1}; there is no circle {number}.")
    return CIRCLES[number]
