"""Find the mark in pictures, also in those that were cropped or mirrored: where in the original frame they lie.

The first secret direction, the pilot, is correlated with the pictures at every place (by FFT) for every size of crop.
The clearest places are refined, and the code is read there. The pilot is independent of the code's directions, so the
chance of a false alarm counts only the places where the code was read.

h w: pixels; g: cells a side; m = 2 g: places a side; i j: frequencies.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from sorairo.safety.mark import (
    FALSE_ALARMS,
    GRIDS,
    Found,
    Grid,
    Patterns,
    dct,
    evened,
    found_in,
    patterns,
    read,
)

__all__ = ["detect"]

SCALES = np.arange(1.0, 0.695, -0.02)
"""Sides of the crop as fractions of the original's."""
READ = 12
"""In how many places of each grid the code is read."""


@dataclass(frozen=True, kw_only=True)
class View:
    """Where pictures lie in the original frame: from (top, left), `tall` and `wide`, as fractions of it."""

    top: float
    left: float
    tall: float
    wide: float


def detect(frames: np.ndarray, key: bytes, *, search: bool = True) -> Found | None:
    """The mark of frames uint8 (t h w 3), whole, scaled, cropped or mirrored; None where there is none.

    search: also for crops and mirrored pictures, which takes a second or so.
    """
    spectra = [evened(frames, grid) for grid in GRIDS]
    whole = [read(spectrum, key, grid, 2) for spectrum, grid in zip(spectra, GRIDS, strict=True)]
    best = min(whole, key=lambda found: found.chance)
    if best.chance < FALSE_ALARMS or not search:
        return best if best.chance < FALSE_ALARMS else None
    return searched(spectra, key)


def searched(spectra: list[np.ndarray], key: bytes) -> Found | None:
    """The mark in frames that were evened for each of GRIDS (i j); None where there is none."""
    best: Found | None = None
    tried = 2 * READ * len(GRIDS) + 2
    for spectrum, grid in zip(spectra, GRIDS, strict=True):
        for mirrored in (False, True):
            found = in_grid(flipped(spectrum) if mirrored else spectrum, key, grid, tried)
            if best is None or found.chance < best.chance:
                best = replace(found, mirrored=mirrored)
            if best.chance < FALSE_ALARMS:
                return best
    return None


def flipped(spectrum: np.ndarray) -> np.ndarray:
    """The spectrum of the mirrored picture: odd waves across change their sign."""
    return spectrum * np.where(np.arange(spectrum.shape[1]) % 2, -1, 1).astype(np.float32)


def in_grid(spectrum: np.ndarray, key: bytes, grid: Grid, tried: int) -> Found:
    drawn = patterns(key, grid)
    places = clearest(spectrum, drawn, grid)
    best = Found(payload=0, chance=1.0)
    for view in places[:READ]:
        found = read_at(spectrum, refined(view, spectrum, drawn, grid), drawn, grid, tried)
        if found.chance < best.chance:
            best = found
        if best.chance < FALSE_ALARMS:
            break
    return best


def clearest(spectrum: np.ndarray, drawn: Patterns, grid: Grid) -> list[View]:
    """The views where the pilot is clearest, the clearest first, one for each size of the crop."""
    m = 2 * grid.cells
    pilot = np.fft.rfft2(drawn.pilot)
    scored: list[tuple[float, View]] = []
    for tall in SCALES:
        for wide in SCALES:
            view = View(top=0.0, left=0.0, tall=float(tall), wide=float(wide))
            picture = placed(spectrum, view, grid)
            size = float(np.linalg.norm(picture)) + 1e-9
            score = np.fft.irfft2(pilot * np.conj(np.fft.rfft2(picture)), (m, m)) / size
            rows, columns = math.floor(m * (1 - tall)) + 1, math.floor(m * (1 - wide)) + 1
            inside = score[:rows, :columns]
            row, column = np.unravel_index(int(inside.argmax()), inside.shape)
            scored.append((float(inside[row, column]), replace(view, top=row / m, left=column / m)))
    scored.sort(key=lambda one: -one[0])
    return [view for _, view in scored]


def refined(view: View, spectrum: np.ndarray, drawn: Patterns, grid: Grid) -> View:
    """The view moved and scaled by little, one number after another, to where the pilot is clearest."""

    def score(one: View) -> float:
        picture = placed(spectrum, one, grid)
        return float((picture * drawn.pilot).sum()) / (float(np.linalg.norm(picture)) + 1e-9)

    best, here = score(view), view
    for step in (0.01, 0.005, 0.0025):
        for name in ("tall", "wide", "top", "left"):
            for sign in (1, -1):
                other = replace(here, **{name: getattr(here, name) + sign * step})
                if name in ("tall", "wide"):  # scaled about its middle
                    side = "top" if name == "tall" else "left"
                    other = replace(other, **{side: getattr(here, side) - sign * step / 2})
                value = score(other)
                if value > best:
                    best, here = value, other
    return here


def read_at(spectrum: np.ndarray, view: View, drawn: Patterns, grid: Grid, tried: int) -> Found:
    """The likeliest codeword of a view, and its chance."""
    g = grid.cells
    finer = dct(2 * g)[:g]
    found = found_in((finer @ placed(spectrum, view, grid) @ finer.T).ravel(), drawn, tried)
    left, top, wide, tall = (round(float(one), 3) for one in (view.left, view.top, view.wide, view.tall))
    return replace(found, crop=(left, top, wide, tall))


def placed(spectrum: np.ndarray, view: View, grid: Grid) -> np.ndarray:
    """The pictures' band laid where the view says on m x m places, zero around."""
    down = basis(view.top, view.tall, 2 * grid.cells, spectrum.shape[0])
    across = basis(view.left, view.wide, 2 * grid.cells, spectrum.shape[1])
    rows = np.arange(spectrum.shape[0])[:, None] / view.tall
    columns = np.arange(spectrum.shape[1])[None] / view.wide
    radius = np.hypot(rows, columns)
    inside = (radius >= grid.band[0]) & (radius <= grid.band[1])
    return down @ (spectrum * inside) @ across.T


@cache
def places(m: int) -> np.ndarray:
    return (np.arange(m) + 0.5) / m


def basis(start: float, length: float, m: int, count: int) -> np.ndarray:
    """(m count): cosines of a picture that lies from `start` on for `length` of a line of m places."""
    inside = (places(m) - start) / length
    waves = np.cos(np.pi * inside[:, None] * np.arange(count)[None])
    waves[(inside < 0) | (inside > 1)] = 0
    return waves.astype(np.float32)
