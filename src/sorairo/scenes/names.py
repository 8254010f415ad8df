"""The names that a scene's objects can have, in the order that weights count on."""

from __future__ import annotations

__all__ = ["COLOURS", "SHAPES", "SLOTS"]

SLOTS = 4  # objects of a scene
# The studio's names in its order. They stand here too, since weights count on them and need no simulator.
SHAPES = ("ball", "cube", "cylinder", "cone", "capsule")
COLOURS = (
    "red", "orange", "yellow", "green", "teal", "blue", "purple", "pink", "brown", "black", "white", "grey",
)  # fmt: skip
