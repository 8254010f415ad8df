"""All hashes of the index, searched without comparing each: the rows within NEAR bits of one, and the nearest crops.

Two hashes of 256 bits that differ in at most 40 have one of 16 parts of 16 bits in which they differ by at most two. So
every part has a table, and only rows that share such a part are compared: nothing is lost. Source: multi-index hashing
(Norouzi et al. 2012, arXiv 1307.2982). Crops have no such limit; there 64 bits of low frequencies go first.

Letters: n rows, p ways to see a crop
"""

from __future__ import annotations

from functools import cache
from itertools import combinations

import numpy as np

from sorairo.safety.fingerprints import MOST, NEAR, Crops, Fingerprint, distances

__all__ = ["Rows", "low_bits"]

PARTS = 16
KEYS = 1 << 16
TAIL = 4096
"""So many new rows, or a sixteenth of all, are compared one by one before the tables are made again."""
BLOCK = 1 << 15
"""Rows that stay in the processor's cache while every way of a crop is compared with them."""
FIRST, LEAST_FIRST = 32, 20_000
"""Of this many rows one passes the first look for crops, and never fewer than LEAST_FIRST."""


class Rows:
    """Hashes uint64 (n 4) and the number of each row's clip (n). It grows at its end."""

    def __init__(self) -> None:
        self.hashes, self.clips = np.zeros((0, 4), np.uint64), np.zeros(0, np.int32)
        self._order, self._start = np.zeros((PARTS, 0), np.int32), np.zeros((PARTS, KEYS + 1), np.int32)
        self._low = np.zeros(0, np.uint64)

    def add(self, hashes: list[np.ndarray], clips: np.ndarray) -> None:
        """Put rows behind the others."""
        self.hashes = np.concatenate([self.hashes, *hashes])
        self.clips = np.concatenate([self.clips, clips.astype(np.int32)])

    def _index(self) -> None:
        """Make the tables again, where many rows are new."""
        if len(self.clips) - self._order.shape[1] <= max(TAIL, len(self.clips) // 16):
            return
        parts = self.hashes.view(np.uint16)  # n 16
        self._order = np.empty((PARTS, len(parts)), np.int32)
        for number in range(PARTS):
            keys = np.ascontiguousarray(parts[:, number])
            self._order[number] = keys.argsort(kind="stable")
            self._start[number, 1:] = np.bincount(keys, minlength=KEYS).cumsum()

    def near(self, one: np.ndarray) -> np.ndarray:
        """The rows within NEAR bits of a hash (4), some perhaps twice."""
        self._index()
        counted = self._order.shape[1]
        keys = one.view(np.uint16)[:, None] ^ flips()  # parts 137
        number = np.arange(PARTS)[:, None]
        begin, end = self._start[number, keys].ravel(), self._start[number, keys.astype(np.int64) + 1].ravel()
        lengths = end - begin
        if int(lengths.sum()) > counted // 2:  # many rows alike: comparing all is faster
            return np.flatnonzero(distances(self.hashes, one) <= NEAR)
        offset = np.repeat(begin - np.cumsum(lengths) + lengths, lengths)
        place = offset + np.arange(len(offset), dtype=np.int32)
        rows = self._order[np.repeat(np.repeat(np.arange(PARTS), keys.shape[1]), lengths), place]
        rows = np.concatenate([rows, np.arange(counted, len(self.clips), dtype=np.int32)])
        return rows[distances(self.hashes[rows], one) <= NEAR]

    def nearest(self, query: Fingerprint, frames: int = MOST, most: int = 20) -> list[int]:
        """Clips with frames within NEAR bits of the query's, those with most such frames first.

        frames: of the query that are looked up, evenly spread.
        """
        votes: dict[int, int] = {}
        count = min(frames, len(query.times))
        for index in np.unique(np.linspace(0, len(query.times) - 1, count).round().astype(int)):
            for clip in set(self.clips[self.near(query.hashes[index])].tolist()):
                votes[clip] = votes.get(clip, 0) + 1
        return sorted(votes, key=lambda clip: -votes[clip])[:most]

    def nearest_crops(self, crops: Crops, most: int = 64) -> list[int]:
        """Clips whose rows are nearest to the coarse ways to see two of a query's frames; the rows are of middles.

        Few bits of every row are compared first, and all bits of the nearest one in FIRST.
        """
        middle = crops.hashes.shape[1] // 2
        ways = np.concatenate(
            [crops.hashes[crops.coarse, index] for index in sorted({middle, max(0, middle - 1)})]
        )  # p 4
        rows = self._first(low_bits(ways), max(LEAST_FIRST, len(self.clips) // FIRST))
        hashes, least = self.hashes[rows], np.full(len(rows), 256, np.int32)
        for one in ways:
            np.minimum(least, distances(hashes, one), out=least)
        best: dict[int, None] = {}
        for row in rows[least.argsort(kind="stable")[: 16 * most]]:
            best.setdefault(int(self.clips[row]))
        return list(best)[:most]

    def _first(self, ways: np.ndarray, wanted: int) -> np.ndarray:
        """At least `wanted` rows, those whose low bits are nearest to any of some ways (p)."""
        count = len(self.clips)
        if wanted >= count:
            return np.arange(count)
        self._low = np.concatenate([self._low, low_bits(self.hashes[len(self._low) :])])
        least = np.full(count, 64, np.uint8)
        for start in range(0, count, BLOCK):
            rows, part = self._low[start : start + BLOCK], least[start : start + BLOCK]
            for way in ways:
                np.minimum(part, np.bitwise_count(rows ^ way), out=part)
        limit = np.searchsorted(np.bincount(least, minlength=65).cumsum(), wanted)
        return np.flatnonzero(least <= limit)


@cache
def flips() -> np.ndarray:
    """All changes of at most NEAR // PARTS bits of 16: uint16 (137)."""
    places = [1 << bit for bit in range(16)]
    found = [sum(some) for count in range(NEAR // PARTS + 1) for some in combinations(places, count)]
    return np.array(found, np.uint16)


def low_bits(hashes: np.ndarray) -> np.ndarray:
    """The bits of the eight lowest frequencies down and across of hashes (n 4): uint64 (n)."""
    octets = np.ascontiguousarray(hashes).view(np.uint8)[:, :16:2]  # the first half of each of eight lines
    return np.ascontiguousarray(octets).view(np.uint64)[:, 0]
