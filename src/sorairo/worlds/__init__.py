"""Simulated worlds: clips whose captions and state are exact, because we made them."""

from __future__ import annotations

from sorairo.types import UserError
from sorairo.worlds.captions import Captions
from sorairo.worlds.parallel import render_clips
from sorairo.worlds.studio import Studio, WorldClip

__all__ = ["WORLDS", "Captions", "WorldClip", "get_world", "render_clips"]

WORLDS = {"studio": Studio}


def get_world(name: str) -> Studio:
    """The world of that name. Raises UserError for a name that is none."""
    if name not in WORLDS:
        raise UserError(f"There is no world {name!r}; the worlds are {', '.join(WORLDS)}.")
    return WORLDS[name]()
