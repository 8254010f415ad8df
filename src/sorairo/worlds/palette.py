"""What the studio is made of: colours, materials, sizes, floors and skies, each a table by name.

Colours are sRGB hex as a fully lit surface shows them. Tables are append-only: the held-out rule in splits.py counts
by position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["COLOURS", "FLOORS", "MATERIALS", "SHAPES", "SIZES", "SKIES", "Floor", "Material", "Sky", "linear"]

SHAPES = ("ball", "cube", "cylinder", "cone", "capsule")

COLOURS = {
    "red": "#d6262b",
    "orange": "#f5801b",
    "yellow": "#f7cf1d",
    "green": "#3d9e3f",
    "teal": "#15a59b",
    "blue": "#2257cf",
    "purple": "#7b3bb5",
    "pink": "#f27fb2",
    "brown": "#7b4b28",
    "black": "#222329",
    "white": "#f6f4ef",
    "grey": "#777c84",
}

SIZES = {"small": (0.20, 0.235), "medium": (0.27, 0.315), "large": (0.36, 0.42)}  # radius, metres


@dataclass(frozen=True, kw_only=True)
class Material:
    """How a surface answers light. reflect, gloss, metal: see studio.glsl."""

    reflect: float
    gloss: float
    metal: float


MATERIALS = {
    "matte": Material(reflect=0.012, gloss=6.0, metal=0.0),
    "shiny": Material(reflect=0.065, gloss=70.0, metal=0.0),
    "metal": Material(reflect=0.10, gloss=36.0, metal=1.0),
}


@dataclass(frozen=True, kw_only=True)
class Floor:
    """A floor's colour and that of the mat that lies on it."""

    colour: str
    mat: str


FLOORS = {
    "cream": Floor(colour="#e3d6c0", mat="#efe6d5"),
    "pale grey": Floor(colour="#c3c8ce", mat="#d5d9de"),
    "sage": Floor(colour="#a3b69c", mat="#b6c7ad"),
    "rose": Floor(colour="#d3a7a2", mat="#e0bcb5"),
    "sand": Floor(colour="#cdb083", mat="#dbc299"),
    "slate": Floor(colour="#566275", mat="#657288"),
    "mint": Floor(colour="#a5d0c5", mat="#b9ddd3"),
    "lavender": Floor(colour="#b3abcd", mat="#c4bddb"),
}


@dataclass(frozen=True, kw_only=True)
class Sky:
    """Backdrop colours with the key light that goes with them. sun: brightness of the disc; words: for captions."""

    zenith: str
    horizon: str
    hills: str
    key: tuple[float, float, float]
    sun: float
    words: str


SKIES = {
    "clear": Sky(
        zenith="#6fa8dc",
        horizon="#dcebf3",
        hills="#93b4c4",
        key=(1.0, 0.97, 0.92),
        sun=0.0,
        words="a clear blue sky",
    ),
    "overcast": Sky(
        zenith="#c2cad1",
        horizon="#e9ebea",
        hills="#b4bcc1",
        key=(0.97, 0.98, 1.0),
        sun=0.0,
        words="a pale grey sky",
    ),
    "sunset": Sky(
        zenith="#e79a72",
        horizon="#fbdcb4",
        hills="#c98f80",
        key=(1.0, 0.93, 0.84),
        sun=0.5,
        words="an orange sunset sky",
    ),
    "dusk": Sky(
        zenith="#8377b3",
        horizon="#ecc6d2",
        hills="#9a86ab",
        key=(1.0, 0.95, 0.95),
        sun=0.3,
        words="a lilac dusk sky",
    ),
    "night": Sky(
        zenith="#141d3d",
        horizon="#4a5f8c",
        hills="#25325a",
        key=(0.93, 0.97, 1.0),
        sun=0.6,
        words="a dark night sky",
    ),
}


def linear(colour: str) -> np.ndarray:
    """'#rrggbb' (sRGB) -> linear RGB, float64 (3), in [0, 1]."""
    c = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255.0
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
