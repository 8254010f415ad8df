"""Damage for files: of their bytes, and of the values in their JSON."""

from __future__ import annotations

import copy
import random
from typing import Any

VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 3, 10**9, 2**63, 10**400, 0.0, -0.5, 1e308, float("nan"), float("inf"),
    "", "x", "12", "\x1b[2J", "\ud800", "../../etc/passwd", "é" * 300, [], {}, [[]], [0], [1, 2, 3], {"a": 1},
    [None] * 1000, "gelu", 0.001,
)  # fmt: skip


def damaged_bytes(data: bytes, dice: random.Random) -> bytes:
    """One to four changes: bits, bytes, a cut, a piece left out, doubled, or zeroed."""
    made = bytearray(data)
    for _ in range(dice.randint(1, 4)):
        if not made:
            return b""
        place, length = dice.randrange(len(made)), dice.choice((1, 2, 4, 16, 200))
        match dice.randrange(7):
            case 0:
                made[place] ^= 1 << dice.randrange(8)
            case 1:
                made[place : place + length] = dice.randbytes(length)
            case 2:
                del made[place:]
            case 3:
                del made[place : place + length]
            case 4:
                made[place:place] = made[place : place + length]
            case 5:
                made[place : place + length] = bytes(length)
            case _:
                made[place : place + 4] = dice.choice((b"\xff" * 4, b"\x7f\xff\xff\xff", b"\0\0\0\1"))
    return bytes(made)


def damaged_values(values: Any, dice: random.Random) -> Any:
    """A copy of JSON values with one to three entries replaced, removed, renamed, doubled or nested."""
    made = copy.deepcopy(values)
    for _ in range(dice.randint(1, 3)):
        places = list(_places(made))
        if not places:
            return dice.choice(VALUES)
        holder, key = dice.choice(places)
        match dice.randrange(6):
            case 0 if isinstance(holder, dict):
                del holder[key]
            case 1 if isinstance(holder, dict):
                holder[dice.choice((str(key).upper(), f"{key}.x", "new", ""))] = holder.pop(key)
            case 2 if isinstance(holder[key], (int, float)):
                holder[key] *= dice.choice((-1, 2, 0.5, 1000))
            case 3:
                holder[key] = [holder[key]]
            case _:
                holder[key] = copy.deepcopy(dice.choice(VALUES))
    return made


def _places(values: Any) -> Any:
    if isinstance(values, (dict, list)):
        for key in list(values) if isinstance(values, dict) else range(len(values)):
            yield values, key
            yield from _places(values[key])
