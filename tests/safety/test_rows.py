"""The index of hashes finds what comparing every row finds, in a fraction of the time."""

from __future__ import annotations

import numpy as np
import pytest

from sorairo.safety import rows as module
from sorairo.safety.fingerprints import NEAR, Crops, distances
from sorairo.safety.rows import Rows, low_bits


def changed(random: np.random.Generator, one: np.ndarray, bits: int) -> np.ndarray:
    """A hash (4) with so many other bits."""
    flat = np.unpackbits(one.view(np.uint8))
    flat[random.permutation(256)[:bits]] ^= 1
    return np.packbits(flat).view(np.uint64)


@pytest.fixture
def table() -> Rows:
    """20,000 rows in two portions, the second of which is too small for the tables."""
    random, made = np.random.default_rng(0), Rows()
    hashes = random.integers(0, 2**64, (20_000, 4), np.uint64)
    made.add([hashes[:19_000]], np.arange(19_000) // 9)
    assert list(made.near(hashes[0])) == [0] * len(made.near(hashes[0]))
    made.add([hashes[19_000:]], np.arange(19_000, 20_000) // 9)
    return made


@pytest.mark.parametrize("bits", [0, 1, 20, NEAR, NEAR + 1])
def test_every_row_within_the_limit_is_found(bits: int, table: Rows) -> None:
    random = np.random.default_rng(1)
    for row in (0, 7, 18_999, 19_000, 19_999):
        one = changed(random, table.hashes[row], bits)
        wanted = np.flatnonzero(distances(table.hashes, one) <= NEAR)
        assert set(table.near(one)) == set(wanted)
        assert (row in wanted) == (bits <= NEAR)


def test_rows_that_are_all_alike_are_found_too() -> None:
    random, made = np.random.default_rng(2), Rows()
    first = random.integers(0, 2**64, 4, np.uint64)
    alike = np.stack([changed(random, first, 12) for _ in range(5_000)])
    made.add([alike], np.arange(5_000))
    assert len(made.near(first)) == 5_000


def test_a_crop_is_among_the_nearest(table: Rows, monkeypatch: pytest.MonkeyPatch) -> None:
    """With 200 rows of 20,000 past the first look, a clip 45 bits away is still the first that is named."""
    monkeypatch.setattr(module, "LEAST_FIRST", 200)
    monkeypatch.setattr(module, "FIRST", 100)
    random = np.random.default_rng(3)
    for row in (9, 12_345, 19_998):
        hashes = random.integers(0, 2**64, (40, 8, 4), np.uint64)
        hashes[17, 4] = changed(random, table.hashes[row], 45)
        crops = Crops(hashes=hashes, times=np.arange(8) / 4, coarse=np.ones(40, bool))
        assert table.nearest_crops(crops)[0] == row // 9


def test_low_bits_are_those_of_the_lowest_frequencies() -> None:
    waves = np.zeros((16, 16), bool)
    waves[:8, :8] = True
    whole = np.packbits(waves.reshape(1, 256), axis=-1).view(np.uint64)
    assert low_bits(whole)[0] == np.uint64(2**64 - 1)
    waves[:8, :8] = False
    waves[0, 8:], waves[8:] = True, True
    assert low_bits(np.packbits(waves.reshape(1, 256), axis=-1).view(np.uint64))[0] == 0
