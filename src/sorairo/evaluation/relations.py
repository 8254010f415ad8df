"""What captions say of two objects at once: where one stands to the other, and which comes first.

DALL-E 3's captions failed exactly there (Betker et al. 2023, section 5.1), so these have scores of their own.
"""

from __future__ import annotations

import re

import numpy as np

from sorairo.evaluation.parse import Parsed
from sorairo.evaluation.suites import Facts
from sorairo.evaluation.tracks import Track

__all__ = ["RELATIONS", "order", "says_order", "stands"]

RELATIONS = ("to the left of", "to the right of", "in front of", "behind")
"""Those that can be read from a picture; "near" and "past" hold of too much."""
FALLING = 0.05  # object sizes per frame downwards: what is slower may only be the camera's doing
ORDER = re.compile(r"\b(before|after it|lands last|first)\b")


def stands(parsed: Parsed, facts: Facts) -> float:
    """1 if every relation of the facts holds of the parsed objects, 0 if not or if one is not there, NaN without any.

    Left and right: in most frames in which both are seen. In front: its foot is lower in the picture.
    """
    asked = [(name, one, other) for name, one, other in facts.relations if name in RELATIONS]
    if not asked:
        return float("nan")
    for name, one, other in asked:
        first, second = (_find(parsed, facts.objects[index]) for index in (one, other))
        if first is None or second is None or not _holds(name, first, second):
            return 0.0
    return 1.0


def order(parsed: Parsed, facts: Facts) -> float:
    """1 if what is to land first does, 0 if not, NaN where nothing is said of it."""
    if facts.order is None:
        return float("nan")
    tracks = [_find(parsed, facts.objects[index]) for index in facts.order]
    if any(track is None for track in tracks):
        return 0.0
    first, second = (_landing(track) for track in tracks if track is not None)
    return float(first < second)


def says_order(text: str) -> bool:
    """Whether a prompt says which of two objects lands first."""
    return ORDER.search(text) is not None


def _find(parsed: Parsed, name: tuple[str, str]) -> Track | None:
    """The one object of that colour and shape, or of that colour where the shape was misread; None without one."""
    same = [track for track in parsed.objects if (track.colour, track.shape) == name]
    same = same or [track for track in parsed.objects if track.colour == name[0]]
    return same[0] if len(same) == 1 else None


def _holds(name: str, one: Track, other: Track) -> bool:
    if name in ("to the left of", "to the right of"):
        gap = one.path[:, 0] - other.path[:, 0]
        gap = gap if name == "to the right of" else -gap
    else:
        feet = [track.path[:, 1] + track.size / 2 for track in (one, other)]
        gap = feet[0] - feet[1] if name == "in front of" else feet[1] - feet[0]
    seen = gap[~np.isnan(gap)]
    return len(seen) > 0 and float((seen > 0).mean()) > 0.5


def _landing(track: Track) -> int:
    """The frame in which an object's fall is first broken; behind the last if it never is."""
    down = np.diff(track.path[:, 1])  # y points down
    with np.errstate(invalid="ignore"):
        broken = (down[:-1] > FALLING * track.size) & (down[1:] < 0.5 * down[:-1])
    return int(np.argmax(broken)) + 1 if broken.any() else len(track.path)
