"""An invisible mark in every frame: 32 bits under a key, that survive re-encoding, scaling and cropping.

Spread spectrum with informed embedding (Miller, Doerr and Cox 2004): the luma of a frame, shrunk to a grid of cells, is
projected onto secret orthonormal directions of its middle frequencies. Each code bit has a direction; the frame is
changed as little as gives every projection its sign with a margin. The detector is linear, so frames are averaged
first.

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
from PIL import Image

from sorairo.safety.code import BITS, LENGTH, decode, encode

__all__ = ["SMALLEST", "Found", "embed"]

SMALLEST = 96
"""Pixels of the shorter side below which a frame is not marked."""

LUMA = np.array([0.299, 0.587, 0.114], np.float32)
STRENGTH = 2.0
"""Root mean square of the change, in levels of 255, before rounding: 41 dB."""

MARGIN = 60.0
"""Of a projection, in levels times cells; more is never needed."""

CAP = 1.2
"""How much of the change one code bit may get, as a multiple of its share."""

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
    """transform: DCT (g g). place: indices of the band in the flat (g g) spectrum. weights: n, of the detector.
    directions: (k n), orthonormal; the first finds the crop, the others carry the code. pilot: the first as a picture
    of twice the cells."""

    transform: np.ndarray
    place: np.ndarray
    weights: np.ndarray
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
    weights = (radius.ravel()[place] / high) ** 2  # the power of pictures falls about as 1 / f^2
    pilot = np.zeros((2 * g, 2 * g), np.float32)
    spectrum = np.zeros(g * g, np.float32)
    spectrum[place] = directions[0]
    pilot[:g, :g] = spectrum.reshape(g, g)
    finer = dct(2 * g)
    return Patterns(
        transform=transform,
        place=place,
        weights=weights.astype(np.float32),
        directions=directions,
        pilot=finer.T @ pilot @ finer,
    )


def embed(frames: np.ndarray, payload: int, key: bytes) -> np.ndarray:
    """Frames uint8 (t h w 3) with a mark of 32 bits. Frames below SMALLEST are returned as they are."""
    h, w = frames.shape[1:3]
    if min(h, w) < SMALLEST:
        return frames
    grid = grid_of(h, w)
    drawn = patterns(key, grid)
    signs = np.concatenate([[1.0], 1.0 - 2.0 * encode(payload)]).astype(np.float32)
    down, across = shrink(h, grid.cells), shrink(w, grid.cells)
    up, along = enlarge(grid.cells, h), enlarge(grid.cells, w)
    return np.stack([marked(frame, signs, drawn, (down, across), (up, along)) for frame in frames])


def marked(
    frame: np.ndarray,
    signs: np.ndarray,
    drawn: Patterns,
    shrinking: tuple[np.ndarray, np.ndarray],
    enlarging: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """One frame (h w 3) with its mark: the least change that gives every projection its margin within STRENGTH."""
    down, across = shrinking
    up, along = enlarging
    luma = frame @ LUMA
    band = spectrum_of(down @ luma @ across.T, drawn)
    gain = float(drawn.weights.mean())
    had = signs * (drawn.directions @ (band * drawn.weights)) / gain  # what is there already, with its sign
    boost = np.ones_like(had)
    boost[0] = 3.5  # the pilot must be found among thousands of places
    change = signs * least(had, boost, STRENGTH * STRENGTH * len(drawn.transform) ** 2)
    flat = np.zeros(drawn.transform.size, np.float32)
    flat[drawn.place] = change @ drawn.directions
    g = len(drawn.transform)
    cells = drawn.transform.T @ flat.reshape(g, g) @ drawn.transform
    pattern = up @ cells @ along.T
    return np.clip(frame + pattern[..., None] + 0.5, 0, 255).astype(np.uint8)


def least(had: np.ndarray, boost: np.ndarray, energy: float) -> np.ndarray:
    """What to add to each projection: up to a common margin, as large as the energy allows (by bisection).

    None gets much more than its share: where pictures are too lively for a margin, the sum over all bits counts.
    """
    most = CAP * math.sqrt(energy / len(had)) * boost
    low, high = -MARGIN, MARGIN
    for _ in range(14):
        middle = (low + high) / 2
        spent = float((np.clip(middle * boost - had, 0.0, most) ** 2).sum())
        low, high = (middle, high) if spent < energy else (low, middle)
    return np.clip(low * boost - had, 0.0, most)


def read(cells: np.ndarray, key: bytes, grid: Grid, tried: int) -> Found:
    """The most likely codeword of one view (g g), and its chance; `tried`: of how many views this is one."""
    drawn = patterns(key, grid)
    band = spectrum_of(cells, drawn) * drawn.weights
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


def cells_of(luma: np.ndarray, grid: Grid) -> np.ndarray:
    """Luma (h w) as cells (g g), each the mean of its pixels."""
    h, w = luma.shape
    if min(h, w) >= grid.cells:
        return shrink(h, grid.cells) @ luma @ shrink(w, grid.cells).T
    small = Image.fromarray(luma).resize((grid.cells, grid.cells), Image.Resampling.BICUBIC)
    return np.asarray(small, np.float32)


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
def shrink(size: int, cells: int) -> np.ndarray:
    """(cells size): the mean of the pixels of each cell, parts of pixels counted as such."""
    edges = np.arange(cells + 1) * size / cells
    pixels = np.arange(size)
    covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    return (np.maximum(0, covered) * cells / size).astype(np.float32)


@cache
def enlarge(cells: int, size: int) -> np.ndarray:
    """(size cells): cosines of the cells' DCT at the pixels' centres, so that shrinking gives the cells back nearly."""
    places, frequencies = (np.arange(size) + 0.5) / size * cells, np.arange(cells)
    basis = np.cos(np.pi / cells * places[:, None] * frequencies[None]) * math.sqrt(2 / cells)
    basis[:, 0] /= math.sqrt(2)
    # a cell's mean of a cosine is less than the cosine in its middle
    return (basis / np.sinc(frequencies / 2 / cells)[None] @ dct(cells)).astype(np.float32)
