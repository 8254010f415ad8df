"""Copies among many hashes are those that a comparison with each of them finds."""

from __future__ import annotations

import numpy as np

from sorairo.data.build.duplicates import Duplicates

BITS = 10


def test_copies_are_found_as_by_comparing_with_each() -> None:
    rng = np.random.default_rng(3)
    smooth = rng.integers(0, 2, 256, np.uint8)  # pictures are alike: most hashes share bands with many others
    seen, shots = Duplicates(BITS), list[np.ndarray]()
    before, names = np.empty((0, 256), np.uint8), list[int]()
    for number in range(350):
        if number % 7 == 6:  # a copy of an earlier shot, some bits away
            shot = flipped(shots[int(rng.integers(number))], rng.integers(0, 14), rng)
        else:
            shot = flipped(np.tile(smooth, (int(rng.integers(1, 8)), 1)), rng.integers(5, 60), rng)
        shots.append(shot)
        near = [{names[row] for row in np.flatnonzero((before ^ one).sum(1) <= BITS)} for one in shot]
        enough = [name for name in set().union(*near) if 2 * sum(name in one for one in near) > len(shot)]
        found = f"shot {min(enough)}" if enough else None
        hashes = tuple(np.packbits(bits).tobytes().hex() for bits in shot)
        assert seen.like(hashes) == found, number
        if found is None:
            seen.add(f"shot {number}", hashes)
            before, names = np.concatenate([before, shot]), names + [number] * len(shot)
    assert 300 < len(set(names)) < 345 and len(names) > 1024  # there were copies, and the table has grown


def flipped(shot: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """Hashes (k 256), `count` bits of each turned."""
    made = shot.copy()
    for bits in made:
        bits[rng.permutation(256)[:count]] ^= 1
    return made
