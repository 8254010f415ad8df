"""Which combinations of colour, shape and event are kept out of training."""

from __future__ import annotations

from sorairo.worlds.palette import COLOURS, SHAPES

__all__ = ["EVENTS", "SPLITS", "held_out"]

SPLITS = ("train", "heldout")

# Append only: the rule below counts by position.
EVENTS = ("drop", "roll", "slide", "ramp", "collide", "crash", "topple", "collapse", "swing", "hide", "edge")


def held_out(colour: str, shape: str, event: str) -> bool:
    """True for one colour in twelve of every (shape, event): 8.3% of all combinations, evenly spread."""
    index = list(COLOURS).index(colour) + 5 * SHAPES.index(shape) + 7 * EVENTS.index(event)
    return index % len(COLOURS) == 0
