"""The sentences that captions are made of, from templates.toml: by event and variant, for cameras and for places.

The file says what the marks in braces mean. `heldout` sentences are never used in training.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "CAMERA_WORDS",
    "HELDOUT_WORDS",
    "OPENINGS",
    "PHRASES",
    "PLACES",
    "PLACES_BEFORE",
    "SYNONYMS",
    "CameraWords",
    "Phrases",
]


@dataclass(frozen=True, kw_only=True)
class Phrases:
    """long: one exact clause. short and trained may be used in training, heldout may not."""

    long: str
    short: tuple[str, ...]
    trained: tuple[str, ...]
    heldout: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class CameraWords:
    """A camera move as a sentence, and as clauses that follow a caption."""

    long: str
    trained: tuple[str, ...]
    heldout: tuple[str, ...]


def _tuples(values: dict[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}


_READ = tomllib.loads(Path(__file__).with_name("templates.toml").read_text(encoding="utf-8"))

PHRASES = {
    (one.pop("event"), one.pop("variant")): Phrases(**_tuples(one)) for one in map(dict, _READ["phrases"])
}
CAMERA_WORDS = {name: CameraWords(**_tuples(one)) for name, one in _READ["camera"].items()}
PLACES: tuple[str, ...] = tuple(_READ["places"])
PLACES_BEFORE: tuple[str, ...] = tuple(_READ["places_before"])
OPENINGS: tuple[str, ...] = tuple(_READ["openings"])
SYNONYMS: dict[str, tuple[str, ...]] = _tuples(_READ["synonyms"])
HELDOUT_WORDS = frozenset(_READ["heldout_words"].split())
"""Words of held-out sentences alone. A test keeps them out of every training sentence."""
