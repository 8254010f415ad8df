"""Numbers with their uncertainty: bootstrap intervals over clips, and the Frechet distance between feature sets.

n: clips (or frames), d: feature width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

__all__ = ["Estimate", "frechet", "frechet_estimate", "mean_estimate"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean (or a distance) with its 95% interval, and over how many clips it was taken."""

    value: float
    low: float
    high: float
    count: int


def mean_estimate(values: np.ndarray, *, resamples: int = 2000, seed: int = 0) -> Estimate | None:
    """The mean of one number per clip with its 95% percentile bootstrap interval.

    values: (n,) float or bool; NaN means that the question does not arise in that clip, and the clip is left out.
    None when it arises in no clip.
    """
    kept = np.asarray(values, dtype=np.float64)
    kept = kept[~np.isnan(kept)]
    if not len(kept):
        return None
    draws = np.random.default_rng(seed).integers(0, len(kept), (resamples, len(kept)))
    low, high = np.percentile(kept[draws].mean(axis=1), [2.5, 97.5])
    return Estimate(value=float(kept.mean()), low=float(low), high=float(high), count=len(kept))


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """Squared Frechet distance between Gaussians fitted to two feature sets (n_a d), (n_b d).

    |mean_a - mean_b|^2 + tr(C_a + C_b - 2 (C_a C_b)^(1/2))  (Dowson and Landau 1982; Heusel et al. 2017, eq. 6).
    With centred A, B such that C = A'A, the last trace is the nuclear norm of A B': no matrix root of a singular
    product is ever taken, so fewer samples than dimensions are no numerical trouble (they do bias the distance
    upwards: compare only with a floor of the same count).
    """
    a, b = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    gap = a.mean(axis=0) - b.mean(axis=0)
    a = (a - a.mean(axis=0)) / np.sqrt(max(len(a) - 1, 1))
    b = (b - b.mean(axis=0)) / np.sqrt(max(len(b) - 1, 1))
    cross = np.linalg.norm(_shorten(a) @ _shorten(b).T, ord="nuc")
    return float(gap @ gap + (a * a).sum() + (b * b).sum() - 2 * cross)


def _shorten(a: np.ndarray) -> np.ndarray:
    """A matrix with the same A'A and at most d rows."""
    return np.asarray(np.linalg.qr(a, mode="r")) if len(a) > a.shape[1] else a


def frechet_estimate(
    clips: np.ndarray, reference: np.ndarray, *, resamples: int = 24, seed: int = 0,
    progress: Callable[[], None] | None = None,
) -> Estimate:  # fmt: skip
    """The Frechet distance of clips to a reference, with value +- 1.96 bootstrap deviations.

    clips: (n m d), m feature rows per clip; reference: (r m d). Clips are resampled whole. A percentile interval
    would not do here: a resample repeats clips, which moves the distance itself upwards.
    """
    n, _, d = clips.shape
    flat = reference.reshape(-1, d)
    value = frechet(clips.reshape(-1, d), flat)
    rng = np.random.default_rng(seed)
    draws = []
    for _ in range(resamples):
        draws.append(frechet(clips[rng.integers(0, n, n)].reshape(-1, d), flat))
        if progress:
            progress()
    half = 1.96 * float(np.std(draws, ddof=1))
    return Estimate(value=value, low=max(value - half, 0.0), high=value + half, count=n)
