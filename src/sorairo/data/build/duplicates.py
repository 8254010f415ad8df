"""Shots that show the same, by perceptual hashes of their pictures."""

from __future__ import annotations

from array import array
from collections import defaultdict

import numpy as np

__all__ = ["Duplicates"]

BANDS = 16
"""Hashes of 256 bits that differ in at most 15 of them are equal in one of 16 bands: so all of those are found."""


class Duplicates:
    """Shots so far, by name; a new one is compared with all of them. bits: that may differ, at most 15.

    Smooth pictures share bands with a third of all others, so what shares one is compared in one operation.
    """

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.hashes = np.empty((1024, 4), np.uint64)  # rows in use: len(self.shots)
        self.shots: list[int] = []  # the number of the shot of each hash
        self.names: list[str] = []
        self.bands: defaultdict[tuple[int, bytes], array[int]] = defaultdict(lambda: array("q"))

    def like(self, hashes: tuple[str, ...]) -> str | None:
        """The first shot that shares more than half of these hashes; None where there is none."""
        votes: defaultdict[int, int] = defaultdict(int)
        for bits in map(_words, hashes):
            bands = [self.bands[key] for key in _keys(bits) if key in self.bands]
            if not bands:
                continue
            near = np.concatenate([np.frombuffer(band, np.int64) for band in bands])
            apart = np.bitwise_count(self.hashes[near] ^ bits).sum(axis=1)
            for shot in {self.shots[index] for index in near[apart <= self.bits]}:
                votes[shot] += 1
        enough = [shot for shot, count in votes.items() if 2 * count > len(hashes)]
        return self.names[min(enough)] if enough else None

    def add(self, name: str, hashes: tuple[str, ...]) -> None:
        """Remember a shot."""
        for bits in map(_words, hashes):
            row = len(self.shots)
            if row == len(self.hashes):
                self.hashes = np.concatenate([self.hashes, np.empty_like(self.hashes)])
            self.hashes[row] = bits
            self.shots.append(len(self.names))
            for key in _keys(bits):
                self.bands[key].append(row)
        self.names.append(name)


def _words(text: str) -> np.ndarray:
    return np.frombuffer(bytes.fromhex(text), np.uint64)


def _keys(bits: np.ndarray) -> list[tuple[int, bytes]]:
    whole, width = bits.tobytes(), bits.nbytes // BANDS
    return [(band, whole[band * width : (band + 1) * width]) for band in range(BANDS)]
