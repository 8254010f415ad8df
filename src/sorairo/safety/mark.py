"""An invisible mark in every frame: 32 bits under a key, that survive re-encoding, scaling and cropping.

Spread spectrum (Cox et al. 1997): every code bit has a secret direction in the middle frequencies of the frame; the sum
of all with their signs is added to the luma, the same for every frame. The detector evens the band of each frame:
weighted against the fall of pictures with frequency, then cut in space at its median, since the mark is small
everywhere and pictures are large at their edges. Evened frames are averaged and projected onto the directions.

Why a false alarm is rare: the directions are drawn uniformly, so for pictures that do not depend on the key the angle
between any codeword and the pictures is that of a random direction, whose tail is known (`chance`).

h w: pixels; g: cells a side; n: frequencies of the band; k: directions.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np

from sorairo.safety.code import BITS, LENGTH, decode, encode

__all__ = ["SMALLEST", "Found", "embed"]

SMALLEST = 96
"""Pixels of the shorter side below which a frame is not marked."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
STRENGTH = 2.4
"""Root mean square of the change, in levels of 255, before rounding: 40.4 dB."""

PILOT = 3.5
"""The strength of the pilot, which must be found among thousands of places, as a multiple of a code bit's."""

LOWEST = 0.7
"""The lowest frequency that the detector evens, as a multiple of the band's: crops are stretched by as much."""

FALSE_ALARMS = 1e-7
"""Chance at which unmarked pictures are called marked."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """cells: of a side. band: DCT frequencies from and to, in half cycles a frame, as a radius."""

    cells: int
    band: tuple[float, float]


LARGE, SMALL = Grid(cells=64, band=(10, 44)), Grid(cells=32, band=(6, 27))
GRIDS = (LARGE, SMALL)


@dataclass(frozen=True, kw_only=True)
class Found:
    """A mark that was read. chance: that pictures without a mark would give as clear a reading. mirrored, crop
    (x, y, width, height as fractions of the original frame): how the pictures had to be seen."""

    payload: int
    chance: float
    mirrored: bool = False
    crop: tuple[float, float, float, float] = (0.0, 0.0, 1.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Patterns:
    """transform: DCT (g g). place: indices of the band in the flat (g g) spectrum. directions: (k n), orthonormal; the
    first finds the crop, the others carry the code. pilot: the first as a picture of twice the cells."""

    transform: np.ndarray
    place: np.ndarray
    directions: np.ndarray
    pilot: np.ndarray


@lru_cache(maxsize=8)
def patterns(key: bytes, grid: Grid) -> Patterns:
    """The secret directions of a key."""
    g = grid.cells
    transform = dct(g)
    radius = np.hypot(*np.meshgrid(np.arange(g), np.arange(g), indexing="ij"))
    low, high = grid.band
    place = np.flatnonzero((radius >= low) & (radius <= high))
    seed = hashlib.sha256(b"sorairo mark 1" + key + bytes([g])).digest()
    random = np.random.Generator(np.random.Philox(key=int.from_bytes(seed[:16], "little")))
    columns, triangle = np.linalg.qr(random.standard_normal((len(place), LENGTH + 1)))
    directions = (columns * np.sign(np.diag(triangle))).T.astype(np.float32)
    pilot = np.zeros((2 * g, 2 * g), np.float32)
    spectrum = np.zeros(g * g, np.float32)
    spectrum[place] = directions[0]
    pilot[:g, :g] = spectrum.reshape(g, g)
    finer = dct(2 * g)
    return Patterns(
        transform=transform,
        place=place,
        directions=directions,
        pilot=finer.T @ pilot @ finer,
    )


def embed(frames: np.ndarray, payload: int, key: bytes) -> np.ndarray:
    """Frames uint8 (t h w 3) with a mark of 32 bits. Frames below SMALLEST are returned as they are."""
    h, w = frames.shape[1:3]
    if min(h, w) < SMALLEST:
        return frames
    pattern = drawn_for(h, w, payload, patterns(key, grid_of(h, w)))[..., None] + 0.5
    return np.stack([np.clip(frame + pattern, 0, 255).astype(np.uint8) for frame in frames])


def drawn_for(h: int, w: int, payload: int, drawn: Patterns) -> np.ndarray:
    """What a number adds to the luma of a frame (h w), of root mean square STRENGTH."""
    g = len(drawn.transform)
    shares = np.concatenate([[PILOT], 1.0 - 2.0 * encode(payload)]).astype(np.float32)
    spectrum = np.zeros(g * g, np.float32)
    spectrum[drawn.place] = shares @ drawn.directions
    spectrum *= STRENGTH * g / float(np.linalg.norm(shares))
    cells = drawn.transform.T @ spectrum.reshape(g, g) @ drawn.transform
    return enlarge(g, h) @ cells @ enlarge(g, w).T


def evened(frames: np.ndarray, grid: Grid) -> np.ndarray:
    """The mean of the evened bands of frames uint8 (t h w 3), as one spectrum (i j): half cycles down by across."""
    h, w = frames.shape[1:3]
    most = math.ceil(grid.band[1]) + 1
    down, across = dct(h)[:most], dct(w)[:most]  # lower where the picture is small
    fine_down, fine_across = (dct(2 * grid.cells)[: len(side)] for side in (down, across))
    radius = np.hypot(*np.meshgrid(np.arange(len(down)), np.arange(len(across)), indexing="ij"))
    weights = radius**2 * ((radius >= LOWEST * grid.band[0]) & (radius <= grid.band[1]))
    weights = weights.astype(np.float32)
    mean = np.zeros(weights.shape, np.float32)
    for frame in frames:
        spectrum = down @ (frame @ LUMA) @ across.T
        places = fine_down.T @ (spectrum * weights) @ fine_across
        limit = np.median(np.abs(places))
        mean += fine_down @ np.clip(places, -limit, limit) @ fine_across.T
    return mean / len(frames)


def read(spectrum: np.ndarray, key: bytes, grid: Grid, tried: int) -> Found:
    """The most likely codeword of whole frames, `evened`, and its chance; `tried`: of how many views this is one."""
    g = grid.cells
    whole = np.zeros((g, g), np.float32)
    whole[: spectrum.shape[0], : spectrum.shape[1]] = spectrum[:g, :g]
    return found_in(whole.ravel(), patterns(key, grid), tried)


def found_in(spectrum: np.ndarray, drawn: Patterns, tried: int) -> Found:
    """The most likely codeword of a flat spectrum (g g), and its chance."""
    band = spectrum[drawn.place]
    seen = drawn.directions[1:] @ band
    payload = decode(seen)
    along = float((1.0 - 2.0 * encode(payload)) @ seen) / math.sqrt(LENGTH)
    cosine = along / (float(np.linalg.norm(band)) + 1e-9)
    return Found(payload=payload, chance=chance(cosine, len(band), tried))


def chance(cosine: float, dimensions: int, tried: int) -> float:
    """A bound on the chance that any of 2^32 codewords, in any of `tried` views, is as near to a random direction.

    The cap of a sphere: P(cos >= x) <= (1 - x^2)^((n - 1) / 2) / 2.
    """
    if cosine <= 0:
        return 1.0
    log = (
        BITS * math.log(2) + math.log(tried / 2) + (dimensions - 1) / 2 * math.log(max(1e-300, 1 - cosine**2))
    )
    return math.exp(min(0.0, log))


def spectrum_of(cells: np.ndarray, drawn: Patterns) -> np.ndarray:
    """The band (n) of cells (g g)."""
    return (drawn.transform @ cells @ drawn.transform.T).ravel()[drawn.place]


def grid_of(h: int, w: int) -> Grid:
    return LARGE if min(h, w) >= 3 * LARGE.cells else SMALL


@cache
def dct(n: int) -> np.ndarray:
    """The orthonormal DCT-II (n n): frequencies by places."""
    places, frequencies = np.arange(n) + 0.5, np.arange(n)
    matrix = np.cos(np.pi / n * frequencies[:, None] * places[None]) * math.sqrt(2 / n)
    matrix[0] /= math.sqrt(2)
    return matrix.astype(np.float32)


@cache
def enlarge(cells: int, size: int) -> np.ndarray:
    """(size cells): cosines of the cells' DCT at the pixels' centres."""
    places, frequencies = (np.arange(size) + 0.5) / size * cells, np.arange(cells)
    basis = np.cos(np.pi / cells * places[:, None] * frequencies[None]) * math.sqrt(2 / cells)
    basis[:, 0] /= math.sqrt(2)
    return (basis @ dct(cells)).astype(np.float32)
