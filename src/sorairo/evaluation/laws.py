"""The laws of the scene, checked on the paths that objects take across the picture.

Free flight, rolling, sliding to a stop and running down a ramp all have a constant acceleration between two
contacts. Seen by a camera that moves smoothly, such a path is near enough a quadratic in time; a contact, which falls
between two frames, starts a new one. So a path is cut into as few quadratics as explain it; what they leave
unexplained, and how they disagree with each other, are the errors. Lengths are in object sizes (the square root of an
object's area), times in frames; y points down, as in the picture.

Compare with "How far is video generation from world model" (Kang et al. 2024), which parses velocities from pixels.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

__all__ = ["Arc", "MotionErrors", "arcs_of", "motion_errors"]

CUT_PENALTY = 0.04  # what one more arc costs, in squared object sizes
FITTED = 4  # frames: fewer points lie on a quadratic whatever they are
FALLING = 0.04  # object sizes per frame^2 downwards: from here on an arc counts as free flight
LANDING = 0.15  # object sizes per frame downwards: a slower touch is no bounce
SPEED_NOISE = 0.1  # a bounce may seem to gain this share of its speed from the pixel grid alone


@dataclass(frozen=True, kw_only=True)
class Arc:
    """One quadratic piece of a path: frames start..stop-1.

    coefficients: (3 2) of 1, t, t^2 with t = 0 at `start`. squared: the sum of squared distances from it.
    """

    start: int
    stop: int
    coefficients: np.ndarray
    squared: float

    def __len__(self) -> int:
        return self.stop - self.start

    @property
    def acceleration(self) -> np.ndarray:
        """(2,) x y, object sizes per frame^2."""
        return 2 * self.coefficients[2]

    def velocity(self, frame: float) -> np.ndarray:
        """(2,) x y at a frame, also a little outside the arc."""
        return self.coefficients[1] + self.acceleration * (frame - self.start)


@dataclass(frozen=True, kw_only=True)
class MotionErrors:
    """What one clip's paths leave unexplained; NaN where the question does not arise.

    motion: mean distance of a position from what its four neighbours in time predict (no arcs needed). gravity: the
    spread of the downward accelerations of one object's flights (a share of their mean) plus the distance from them.
    velocity: the distance over what is not free flight. bounce: by how much rebounds gain speed, and how unequal
    their ratios are.
    """

    motion: float
    gravity: float
    velocity: float
    bounce: float


def arcs_of(path: np.ndarray) -> list[Arc]:
    """The cheapest cut of a path (t 2), in object sizes, NaN where unseen, into quadratic arcs.

    Dynamic programming over cuts (as in Jackson et al. 2005): squared error plus CUT_PENALTY per arc. Each stretch
    that is seen is cut by itself.
    """
    seen = ~np.isnan(path).any(axis=1)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], seen, [False]]).astype(int)))
    return [arc for start, stop in edges.reshape(-1, 2) for arc in _cut(path, int(start), int(stop))]


def _cut(path: np.ndarray, start: int, stop: int) -> list[Arc]:
    count = stop - start
    best = np.concatenate([[0.0], np.full(count, np.inf)])
    last: list[Arc | None] = [None] * (count + 1)
    for j in range(1, count + 1):
        for i in range(j):
            arc = _fit(path, start + i, start + j)
            if best[i] + arc.squared + CUT_PENALTY < best[j]:
                best[j], last[j] = best[i] + arc.squared + CUT_PENALTY, arc
    arcs, j = [], count
    while (arc := last[j]) is not None:
        arcs.append(arc)
        j = arc.start - start
    return arcs[::-1]


def _fit(path: np.ndarray, start: int, stop: int) -> Arc:
    time = np.arange(stop - start, dtype=float)
    powers = time[:, None] ** np.arange(min(3, len(time)))
    fitted, *_ = np.linalg.lstsq(powers, path[start:stop], rcond=None)
    coefficients = np.zeros((3, 2))
    coefficients[: len(fitted)] = fitted
    squared = float(((powers @ fitted - path[start:stop]) ** 2).sum())
    return Arc(start=start, stop=stop, coefficients=coefficients, squared=squared)


def motion_errors(paths: list[np.ndarray]) -> MotionErrors:
    """The errors of one clip. paths: per moving object (t 2), in object sizes, NaN where unseen."""
    cut = [arcs_of(path) for path in paths]
    flights = [[arc for arc in arcs if _flies(arc)] for arcs in cut]
    rides = [arc for arcs in cut for arc in arcs if len(arc) >= FITTED and not _flies(arc)]
    gravities = [error for arcs in flights if (error := _gravity_error(arcs)) is not None]
    bounces = [error for arcs in cut if (error := _bounce_error(arcs)) is not None]
    return MotionErrors(
        motion=_mean([distance for path in paths for distance in _surprise(path)]),
        gravity=_mean(gravities),
        velocity=_rms(rides),
        bounce=_mean(bounces),
    )


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _surprise(path: np.ndarray) -> np.ndarray:
    """Distances (m,) of the positions of a path (t 2) from the cubic through the two before and the two after."""
    if len(path) < 5:
        return np.zeros(0)
    predicted = (4 * (path[1:-3] + path[3:-1]) - (path[:-4] + path[4:])) / 6
    distances = np.linalg.norm(path[2:-2] - predicted, axis=1)
    return distances[~np.isnan(distances)]


def _rms(arcs: list[Arc]) -> float:
    frames = sum(len(arc) for arc in arcs)
    return float(np.sqrt(sum(arc.squared for arc in arcs) / frames)) if frames else float("nan")


def _flies(arc: Arc) -> bool:
    return len(arc) >= FITTED and arc.acceleration[1] > FALLING


def _gravity_error(flights: list[Arc]) -> float | None:
    if not flights:
        return None
    pulls = np.array([arc.acceleration[1] for arc in flights])
    return float(pulls.std() / pulls.mean()) + _rms(flights)


def _bounce_error(arcs: list[Arc]) -> float | None:
    """Rebounds are where a fast descent turns into a rise. None without one."""
    ratios = []
    for before, after in pairwise(arcs):
        touch = after.start - 0.5
        down, up = before.velocity(touch)[1], -after.velocity(touch)[1]
        if before.stop == after.start and min(len(before), len(after)) >= 3 and down > LANDING and up > 0:
            ratios.append(up / down)
    if not ratios:
        return None
    gain = float(np.mean([max(ratio - 1 - SPEED_NOISE, 0.0) for ratio in ratios]))
    return gain + float(np.std(ratios))
