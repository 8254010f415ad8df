"""A world's clip -> the tracks of its objects and of its camera at the rate of its latents.

Legend: f frames, k objects, t latent frames.
"""

from __future__ import annotations

import numpy as np
import torch

from sorairo.scenes.tracks import COLOURS, DISTANCE, SHAPES, SLOTS, Tracks
from sorairo.worlds import WorldClip
from sorairo.worlds.cameras import View, project

__all__ = ["tracks_of"]

ALL = slice(None)


def tracks_of(clip: WorldClip, latent_frames: int, part: slice = ALL) -> Tracks:
    """The tracks (n = 1) of a clip, or of some of its frames, the actors of its story in the first slots.

    An object that the picture's edge cuts keeps the size it would have: that of the nearest frame with the whole of it,
    scaled by its distance.
    """
    state = clip.state
    width, height = state["size"]
    short = min(width, height)
    centre, depth = state["centre"][part], np.maximum(state["depth"][part], 0.1)  # f k 2, f k
    sizes = np.stack(
        [_sizes(state["box"][part, i], depth[:, i], (width, height)) for i in range(depth.shape[1])], 1
    )
    middle = np.array([width, height]) / 2
    place = np.concatenate([(centre - middle) / (short / 2), sizes / short, depth[..., None]], -1)  # f k 5
    actors = [int(actor) for actor in state["story"]["actors"]]
    order = list(dict.fromkeys([*actors, *range(depth.shape[1])]))[:SLOTS]
    full = np.zeros((SLOTS, latent_frames, place.shape[-1]), dtype="f4")
    full[..., 2:] = (0.3, 0.3, 6.0)
    place = _at_latents(place, latent_frames)
    full[: len(order)] = place[:, order].transpose(1, 0, 2)
    bodies = [state["objects"][i] for i in order]
    blank = [0] * (SLOTS - len(order))
    return Tracks(
        place=torch.from_numpy(full)[None],
        shape=torch.tensor([[SHAPES.index(body["shape"]) for body in bodies] + blank]),
        colour=torch.tensor([[COLOURS.index(body["colour"]) for body in bodies] + blank]),
        there=torch.tensor([[True] * len(order) + [False] * len(blank)]),
        camera=torch.from_numpy(
            _at_latents(_camera(_part(View(**state["view"]), part)), latent_frames).astype("f4")
        )[None],
    )


def _at_latents(values: np.ndarray, latent_frames: int) -> np.ndarray:
    """The first frame, then the mean of what each latent frame stands for: (f ...) -> (t ...)."""
    if latent_frames == 1:
        return values[:1]
    rest = values[1:].reshape(latent_frames - 1, -1, *values.shape[1:]).mean(1)
    return np.concatenate([values[:1], rest])


def _part(view: View, part: slice) -> View:
    eye, right, up, forward = (axis[part] for axis in (view.eye, view.right, view.up, view.forward))
    return View(eye=eye, right=right, up=up, forward=forward, tan=view.tan)


def _camera(view: View) -> np.ndarray:
    """See Tracks.camera: (f 5)."""
    middle = len(view.eye) // 2
    ray = view.forward[middle]
    reach = -view.eye[middle, 2] / ray[2] if ray[2] < -0.05 else DISTANCE  # one that looks up meets no floor
    point = view.eye[middle] + ray * reach
    at, depth = project(view, np.repeat(point[None, None], len(view.eye), 0))  # f 1 2, f 1
    short = min(view.tan)
    at = at[:, 0] * np.array(view.tan) / short  # in halves of the middle square
    away = view.eye - point
    azimuth = np.unwrap(np.arctan2(away[:, 1], away[:, 0]))
    horizon = view.forward[:, 2] / np.hypot(view.forward[:, 0], view.forward[:, 1]) / short
    return np.stack([*at.T, azimuth - azimuth[0], horizon, np.maximum(depth[:, 0], 0.1)], -1)


def _sizes(box: np.ndarray, depth: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Width and height in pixels in each frame (f 2). box: (f 4), NaN where the object is out of the picture."""
    sides = np.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]], -1)  # f 2
    with np.errstate(invalid="ignore"):
        whole = (box[:, 0] > 0) & (box[:, 1] > 0) & (box[:, 2] < size[0]) & (box[:, 3] < size[1])
    if not whole.any():
        some = np.isfinite(sides[:, 0])
        if not some.any():
            return np.full_like(sides, 0.3 * min(size))
        whole = some
    known = np.flatnonzero(whole)
    nearest = known[np.abs(np.arange(len(box))[:, None] - known).argmin(1)]
    return np.where(whole[:, None], sides, sides[nearest] * (depth[nearest] / depth)[:, None])
