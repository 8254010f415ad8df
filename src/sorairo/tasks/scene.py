"""What a scene can hold: the names of its objects, in the order that weights count on, and what a clip can follow."""

from __future__ import annotations

import math
from dataclasses import fields
from itertools import pairwise

from sorairo.types import Scene, SceneCamera, ScenePlace, UserError

__all__ = ["COLOURS", "SHAPES", "SLOTS", "check_scene"]

SLOTS = 4  # objects of a scene
# The studio's names in its order. They stand here too, since weights count on them and need no simulator.
SHAPES = ("ball", "cube", "cylinder", "cone", "capsule")
COLOURS = (
    "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "white", "grey",
)  # fmt: skip
PLACES = 4096  # of one path; a clip has fewer frames


def check_scene(scene: Scene) -> None:
    """Raise UserError for what no clip can follow."""
    if len(scene.objects) > SLOTS:
        raise UserError(f"A scene has up to {SLOTS} objects, not {len(scene.objects)}; leave some out.")
    for number, one in enumerate(scene.objects, 1):
        what = f"Object {number} of the scene"
        for called, name, names in (("shape", one.shape, SHAPES), ("colour", one.colour, COLOURS)):
            if name not in names:
                raise UserError(f"{what} has the {called} {name!r:.40}; give one of {', '.join(names)}.")
        if not one.path:
            raise UserError(f"{what} is nowhere; give its path at least one place.")
        _check_path(one.path, what)
        for place in one.path:
            if not (0 < place.width <= 8 and 0 < place.height <= 8):
                raise UserError(f"{what} is {place.width:g} wide and {place.height:g} high; give 0 to 8.")
    _check_path(scene.camera, "The scene's camera")


def _check_path(path: tuple[ScenePlace, ...] | tuple[SceneCamera, ...], what: str) -> None:
    if len(path) > PLACES:
        raise UserError(f"{what} has {len(path)} places; give up to {PLACES}.")
    for place in path:
        for field in fields(place):
            value = getattr(place, field.name)
            if not (math.isfinite(value) and abs(value) <= 1000):
                raise UserError(f"{what} has {field.name} {value}; give a number from -1000 to 1000.")
        if place.at < 0 or place.distance < 0.1:
            raise UserError(f"{what} has at or distance below 0 s or 0.1 m; give more.")
    if any(before.at >= after.at for before, after in pairwise(path)):
        raise UserError(f"{what} has places that are not in order of time; order them by at.")
