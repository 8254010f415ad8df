"""Kinds of words that a thing has one of at a time: a new colour replaces the old one. Remixes go by them."""

from __future__ import annotations

from functools import cache

__all__ = ["word_kinds"]

EVERYDAY = {
    "colours": "gray cream silver gold",
    "sizes": "little big tiny huge",
    "materials": "glass wood wooden",
}
"""Words that people use and the studio does not."""


@cache
def word_kinds() -> tuple[tuple[str, ...], ...]:
    """Colours, shapes, sizes, materials and sides, in small letters."""
    from sorairo.worlds.palette import COLOURS, MATERIALS, SHAPES, SIZES  # all of the worlds come with it
    from sorairo.worlds.templates import SYNONYMS

    return (
        (*COLOURS, *EVERYDAY["colours"].split()),
        tuple(word for shape in SHAPES for word in SYNONYMS.get(shape, (shape,))),
        (*SIZES, *EVERYDAY["sizes"].split()),
        (*MATERIALS, *EVERYDAY["materials"].split()),
        ("left", "right"),
    )
