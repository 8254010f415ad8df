"""Small clips of every event, made once for all tests of the world."""

from __future__ import annotations

from itertools import count, islice

import pytest

from sorairo.worlds import WorldClip, get_world
from sorairo.worlds.circles import CIRCLES
from sorairo.worlds.splits import EVENTS

WHOLE = len(CIRCLES) - 1
SIZE = (64, 64)


@pytest.fixture(scope="session")
def clips() -> list[WorldClip]:
    """Two clips of each event in the whole world, with masks."""
    world = get_world("studio")
    made = []
    for event in EVENTS:
        seeds = islice((s for s in count() if world.subject(s, WHOLE)[0] == event), 2)
        made += [world.clip(seed, size=SIZE, circle=WHOLE, masks=True) for seed in seeds]
    return made
