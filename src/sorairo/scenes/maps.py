"""Tracks -> maps on a latent grid: what the picture's transformer is told of where things are.

Legend: n clips, k slots, t h w latent grid, m channels (kinds: shapes, then colours; LOCAL; CAMERA), s samples
along a cell's side.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sorairo.scenes.tracks import KINDS, SHAPES, SIZE, Tracks

__all__ = ["CAMERA", "LOCAL", "MAPS", "scene_maps"]

LOCAL = ("near", "across", "down", "width", "height")
"""Around the nearest object: how near, where in it from -1 to 1, and its size in parts of the picture's middle square,
as twice the natural logarithm of what it is over SIZE."""
CAMERA = ("right", "down", "nearer", "turned", "horizon")
"""What the camera did since the first frame: how far the floor seen here has moved in the picture, in halves of its
middle square; the logarithm of how much nearer it is; radians around it. And how high the horizon is."""
MAPS = len(KINDS) + len(LOCAL) + len(CAMERA)
MOVES = 2.0  # what the camera's maps are multiplied by, for about the variance of the others
SAMPLES = 4  # along a cell's side
AROUND = 2.0  # half sizes of an object from its middle, as far as it is felt
# |x|^p + |y|^p <= 1 is the outline: a ball is round, a cube nearly square, a cone nearly a diamond
ROUND = torch.tensor([2.0, 4.0, 4.0, 1.3, 2.5])


def scene_maps(tracks: Tracks, grid: tuple[int, int]) -> Tensor:
    """What is where: (n m t h w). How much of every position each shape and each colour covers, 0 to 1, where what is
    nearer hides; then LOCAL; then CAMERA.

    grid: h w. Tracks live in the middle square of the picture.
    """
    (h, w), (n, k, t, _) = grid, tracks.place.shape
    there = tracks.there[:, :, None, None, None]
    x, y, width, height, depth = tracks.place.unbind(-1)  # n k t
    power = ROUND[tracks.shape][:, :, None, None, None]  # n k 1 1 1

    across, down = _inside(x, width, w, min(h, w), SAMPLES), _inside(y, height, h, min(h, w), SAMPLES)
    outline = across.abs()[..., None, :] ** power + down.abs()[..., :, None] ** power  # n k t h*s w*s
    inside = (outline <= 1) & there
    far = torch.where(inside, depth[..., None, None], torch.inf)
    seen = inside & (far == far.amin(1, keepdim=True))
    part = seen.float().view(n, k, t, h, SAMPLES, w, SAMPLES).mean((4, 6))  # n k t h w
    kinds = torch.zeros(n, k, len(KINDS))
    kinds.scatter_(2, tracks.shape[..., None], 1.0)
    kinds.scatter_(2, len(SHAPES) + tracks.colour[..., None], 1.0)
    covered = torch.einsum("nkthw,nkm->nmthw", part, kinds).clamp(0, 1)

    across, down = _inside(x, width, w, min(h, w), 1), _inside(y, height, h, min(h, w), 1)
    across = across[..., None, :].expand(-1, -1, -1, h, -1)  # n k t h w
    down = down[..., :, None].expand(-1, -1, -1, -1, w)
    away = torch.maximum(across.abs(), down.abs())
    away = torch.where(there, away - part, torch.inf)  # whoever covers a position has it
    near = (AROUND - away).clamp(0, 1)  # n k t h w
    first = away.argmin(1, keepdim=True)
    sizes = [
        2 * (side.clamp_min(1e-3) / SIZE).log()[..., None, None].expand_as(away) for side in (width, height)
    ]
    felt = [values.gather(1, first)[:, 0] for values in (across, down, *sizes)]
    near = near.gather(1, first)[:, 0]  # n t h w
    local = torch.stack([near, *[near * value.clamp(-3, 3) for value in felt]], 1)
    return torch.cat([covered, local, _camera_maps(tracks.camera, grid)], 1)


def _camera_maps(camera: Tensor, grid: tuple[int, int]) -> Tensor:
    """The camera (n t 5) -> its maps (n 5 t h w). A picture of the floor moves with the point that the camera is told
    by, and grows around it: exact for a pan, and near that point for the rest."""
    h, w = grid
    x, y, turn, horizon, distance = camera.unbind(-1)  # n t
    nearer = (distance[:, :1] / distance.clamp_min(1e-3)).clamp(0.1, 10)
    moved = []
    for middle, cells in ((x, w), (y, h)):
        at = (torch.arange(cells) + 0.5 - cells / 2) / (min(h, w) / 2)  # from the picture's middle
        before = middle[:, :1, None] + (at - middle[..., None]) / nearer[..., None]  # n t cells
        moved.append(at - before)
    maps = [
        moved[0][:, :, None].expand(-1, -1, h, -1),
        moved[1][..., None].expand(-1, -1, -1, w),
        *[
            value[..., None, None].expand(-1, -1, h, w)
            for value in (nearer.log(), turn - turn[:, :1], horizon + 1)
        ],
    ]
    return (MOVES * torch.stack(maps, 1)).clamp(-3, 3)


def _inside(middle: Tensor, size: Tensor, cells: int, short: int, samples: int) -> Tensor:
    """Where the cells of one axis lie in an object, from -1 to 1: (n k t cells*samples). middle, size: (n k t)."""
    at = (torch.arange(cells * samples) + 0.5) / samples - cells / 2  # in cells, from the picture's middle
    return (at - middle[..., None] * short / 2) / (size[..., None].clamp_min(1e-3) * short / 2)
