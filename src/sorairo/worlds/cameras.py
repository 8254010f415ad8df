"""Five camera moves, and the framing that keeps every object in the picture from the first frame to the last."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

__all__ = ["CAMERAS", "Shot", "View", "frame_shot", "project"]


CAMERAS = ("still", "pan", "orbit", "dolly", "crane")
MARGIN = 0.05  # of half the picture, kept free at each side


@dataclass(frozen=True, kw_only=True)
class Shot:
    """A camera move. amount: its size, signed (pan, orbit, crane: radians; dolly: change of log distance).

    azimuth, elevation: where the camera stands, radians, seen from the target. field: angle of view over the short
    side, radians. sky: how far down the target sits, as a part of half the short side.
    """

    move: str
    amount: float
    azimuth: float
    elevation: float
    field: float
    sky: float


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """Camera per frame: eye (t 3), axes right, up, forward (t 3), tan: tangents of half the fields of view (x, y)."""

    eye: np.ndarray
    right: np.ndarray
    up: np.ndarray
    forward: np.ndarray
    tan: tuple[float, float]


def _view(shot: Shot, target: np.ndarray, distance: float, frames: int, tan: tuple[float, float]) -> View:
    s = np.linspace(-0.5, 0.5, frames) if frames > 1 else np.zeros(1)
    azimuth, elevation = np.full(frames, shot.azimuth), np.full(frames, shot.elevation)
    reach, yaw = np.full(frames, distance), np.zeros(frames)  # yaw > 0 turns to the right
    match shot.move:
        case "pan":
            yaw = shot.amount * s
        case "orbit":
            azimuth = azimuth + shot.amount * s
        case "dolly":
            reach = distance * np.exp(-shot.amount * s)
        case "crane":
            elevation = elevation + shot.amount * s
    away = np.stack(
        [np.sin(azimuth) * np.cos(elevation), -np.cos(azimuth) * np.cos(elevation), np.sin(elevation)], axis=1
    )
    eye = target + away * reach[:, None]
    heading, pitch = yaw - azimuth, -elevation  # looking at the target, then turned by the pan
    forward = np.stack(
        [np.sin(heading) * np.cos(pitch), np.cos(heading) * np.cos(pitch), np.sin(pitch)], axis=1
    )
    right = np.stack([np.cos(heading), -np.sin(heading), np.zeros(frames)], axis=1)
    up = np.cross(right, forward)
    return View(eye=eye, right=right, up=up, forward=forward, tan=tan)


def project(view: View, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """World points (t n 3) -> picture coordinates (t n 2) in [-1, 1], x right and y down, and depth (t n) in metres."""
    offset = points - view.eye[:, None]
    depth = np.einsum("tnc,tc->tn", offset, view.forward)
    x = np.einsum("tnc,tc->tn", offset, view.right) / depth / view.tan[0]
    y = -np.einsum("tnc,tc->tn", offset, view.up) / depth / view.tan[1]
    return np.stack([x, y], axis=-1), depth


def frame_shot(
    shot: Shot, size: tuple[int, int], points: np.ndarray, radii: np.ndarray, nearest: float
) -> View:
    """The shot placed so that all spheres (points (t n 3), radii (n)) lie in the picture in every frame.

    The target is the middle of what happens; the distance is the least that fits, at least `nearest`.
    """
    width, height = size
    half = math.tan(shot.field / 2)
    short = min(width, height)
    tan = (half * width / short, half * height / short)
    frames = points.shape[0]
    low = (points - radii[:, None]).min(axis=(0, 1))
    high = (points + radii[:, None]).max(axis=(0, 1))
    target = (low + high) / 2
    lift = np.array([0.0, 0.0, 1.0])

    def extent(distance: float, target: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        view = _view(shot, target, distance, frames, tan)
        at, depth = project(view, points)
        reach = 1.12 * radii / np.maximum(depth, 1e-3)
        spread = np.stack([reach / tan[0], reach / tan[1]], axis=-1)
        near = depth.min() < 0.5
        worst = np.full(2, 9.0)
        return (worst, worst) if near else ((at - spread).min(axis=(0, 1)), (at + spread).max(axis=(0, 1)))

    distance, right = nearest, np.array([math.cos(shot.azimuth), math.sin(shot.azimuth), 0.0])
    for _ in range(6):
        low, high = extent(distance, target + shot.sky * half * distance * lift)
        centre = np.clip((low + high) / 2, -1.0, 1.0) * np.array(tan) * distance
        target = target + right * centre[0] - lift * centre[1]
        reach = np.clip((high - low).max() / 2 / (1 - MARGIN), 0.5, 2.0)
        distance = max(nearest, distance * reach)
    while max(-low.min(), high.max()) > 1 - 0.3 * MARGIN and distance < nearest * 8:
        distance *= 1.04
        low, high = extent(distance, target + shot.sky * half * distance * lift)
    return _view(shot, target + shot.sky * half * distance * lift, distance, frames, tan)
