"""Shots that show the same, by perceptual hashes of their pictures."""

from __future__ import annotations

from collections import defaultdict

import numpy as np

__all__ = ["Duplicates"]

BANDS = 16
"""Hashes of 256 bits that differ in at most 15 of them are equal in one of 16 bands: so all of those are found."""


class Duplicates:
    """Shots so far, by name; a new one is compared with all of them. bits: that may differ, at most 15."""

    def __init__(self, bits: int) -> None:
        self.bits = bits
        self.hashes: list[np.ndarray] = []  # each uint8 (32)
        self.names: list[str] = []
        self.bands: defaultdict[tuple[int, bytes], list[int]] = defaultdict(list)

    def like(self, hashes: tuple[str, ...]) -> str | None:
        """The first shot that shares more than half of these hashes; None where there is none."""
        votes: defaultdict[str, int] = defaultdict(int)
        for text in hashes:
            bits = np.frombuffer(bytes.fromhex(text), np.uint8)
            near = {index for key in _keys(bits) for index in self.bands.get(key, ())}
            found = {
                self.names[index]
                for index in near
                if int(np.bitwise_count(self.hashes[index] ^ bits).sum()) <= self.bits
            }
            for name in found:
                votes[name] += 1
        enough = [name for name in votes if 2 * votes[name] > len(hashes)]
        return min(enough, key=self.names.index, default=None)

    def add(self, name: str, hashes: tuple[str, ...]) -> None:
        """Remember a shot."""
        for text in hashes:
            bits = np.frombuffer(bytes.fromhex(text), np.uint8)
            for key in _keys(bits):
                self.bands[key].append(len(self.hashes))
            self.hashes.append(bits)
            self.names.append(name)


def _keys(bits: np.ndarray) -> list[tuple[int, bytes]]:
    width = len(bits) // BANDS
    return [(band, bits[band * width : (band + 1) * width].tobytes()) for band in range(BANDS)]
