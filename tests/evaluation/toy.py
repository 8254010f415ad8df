"""Clips of coloured squares and discs, with the reading that a perfect network would give of them."""

import numpy as np
import torch

from sorairo.evaluation.network import ParserConfig, Reading

CONFIG = ParserConfig(
    colours=("red", "green", "blue"),
    shapes=("ball", "cube"),
    events=("drop", "hide"),
    cameras=("still", "pan"),
)


def perfect(masks: np.ndarray, objects: list[tuple[str, str]], event: str, camera: str) -> Reading:
    """masks: (t y x) at half resolution, object ids from 1."""
    ids = torch.from_numpy(masks.astype(np.int64))[None]
    colour = torch.zeros(*ids.shape, len(CONFIG.colours))
    shape = torch.zeros(*ids.shape, len(CONFIG.shapes))
    centre = torch.zeros(*ids.shape, 2)
    for number, (c, s) in enumerate(objects, start=1):
        colour[ids == number, CONFIG.colours.index(c)] = 9.0
        shape[ids == number, CONFIG.shapes.index(s)] = 9.0
        for t in range(len(masks)):
            ys, xs = np.nonzero(masks[t] == number)
            if len(ys):
                centre[0, t, ys, xs] = torch.from_numpy(
                    np.stack([xs.mean() - xs, ys.mean() - ys], axis=1)
                ).float()
    return Reading(
        object=torch.where(ids > 0, 9.0, -9.0),
        colour=colour,
        shape=shape,
        centre=centre,
        event=torch.tensor([[9.0 * (e == event) for e in CONFIG.events]]),
        camera=torch.tensor([[9.0 * (c == camera) for c in CONFIG.cameras]]),
    )


def discs(
    paths: list[np.ndarray], size: int = 48, radius: float = 4.0, wall: tuple[int, int] | None = None
) -> np.ndarray:
    """Masks (t y x) of discs along paths (t 2), later ones in front; columns wall[0]..wall[1]-1 hide them."""
    ys, xs = np.mgrid[:size, :size]
    masks = np.zeros((len(paths[0]), size, size), dtype=np.uint8)
    for number, path in enumerate(paths, start=1):
        for t, (x, y) in enumerate(path):
            masks[t][(xs - x) ** 2 + (ys - y) ** 2 <= radius**2] = number
    if wall:
        masks[:, :, wall[0] : wall[1]] = 0
    return masks
