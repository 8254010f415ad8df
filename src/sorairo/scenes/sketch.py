"""Tracks -> a sketch of the clip in flat colours: each object's outline where its track says, below the horizon.

Legend: n clips, k slots, t latent frames, f frames, h w pixels.
"""

from __future__ import annotations

import torch
from torch import Tensor

from sorairo.scenes.times import at_frames
from sorairo.scenes.tracks import COLOURS, SHAPES, Tracks

__all__ = ["GROUND", "PAINT", "SKY", "sketch"]

GROUND, SKY = "#d6d3d1", "#e7eef5"
PAINTS = """
    #d6262b #f5801b #f7cf1d #3d9e3f #15a59b #2257cf #7b3bb5 #f27fb2 #7b4b28 #222329 #f6f4ef #777c84
""".split()  # noqa: SIM905
PAINT = dict(zip(COLOURS, PAINTS, strict=True))  # as the world has them (worlds/palette.py)
LIT, SHADED = 1.1, 0.65  # what a colour is multiplied by at an object's top and bottom
ROUNDS, CONE = ("ball", "capsule"), "cone"  # ellipses, and triangles; the others are rectangles


def sketch(tracks: Tracks, size: tuple[int, int], time_factor: int) -> Tensor:
    """The sketch (n 3 f h w), -1 to 1, of f = 1 + (t - 1) * time_factor frames. size: h w in pixels.

    Outlines have soft edges of a pixel. What is nearer hides what is behind. Tracks live in the middle square of the
    picture.
    """
    short, w = min(size), size[1]
    place, camera = at_frames(tracks.place, time_factor), at_frames(tracks.camera, time_factor)
    down, across = (_middles(side) * 2 / short for side in size)  # as places are
    sky = ((camera[..., 3, None] - down) * short / 2 + 0.5).clamp(0, 1)  # n f h
    ground, above = _levels([GROUND])[0], _levels([SKY])[0]
    picture = (ground + sky[..., None] * (above - ground)).movedim(-1, 1)[..., None]  # n 3 f h 1
    picture = picture.expand(-1, -1, -1, -1, w).clone()

    round_, cone = (_one_of(tracks.shape, names) for names in (ROUNDS, (CONE,)))
    paint = _levels([PAINT[colour] for colour in COLOURS])[tracks.colour]  # n k 3
    far = torch.where(tracks.there[..., None], place[..., 4], torch.inf)  # n k f
    order = far.argsort(1, descending=True)  # nobody first, then from behind
    for rank in range(order.shape[1]):
        slot = order[:, rank]  # n f
        there = tracks.there.gather(1, slot)
        if not there.any():
            continue
        at = place.gather(1, slot[:, None, :, None].expand(-1, -1, -1, place.shape[-1]))[:, 0]  # n f 5
        x, y, width, height, _ = at.unbind(-1)
        u = (across - x[..., None]) / width.clamp_min(1e-3)[..., None]  # n f w, -1 to 1 inside
        v = (down - y[..., None]) / height.clamp_min(1e-3)[..., None]  # n f h
        cover = _cover(
            u[:, :, None],
            v[..., None],
            (width * short / 2)[..., None, None],
            (height * short / 2)[..., None, None],
            (round_.gather(1, slot)[..., None, None], cone.gather(1, slot)[..., None, None]),
        )
        cover = (cover * there[..., None, None])[:, None]  # n 1 f h w
        light = LIT + (SHADED - LIT) * ((v + 1) / 2).clamp(0, 1)  # n f h
        colour = paint.gather(1, slot[..., None].expand(-1, -1, 3)).movedim(-1, 1)  # n 3 f
        shaded = (colour[..., None] * light[:, None]).clamp(0, 1)[..., None]  # n 3 f h 1
        picture += cover * (shaded - picture)
    return picture * 2 - 1


def _cover(u: Tensor, v: Tensor, half_w: Tensor, half_h: Tensor, which: tuple[Tensor, Tensor]) -> Tensor:
    """How much of each pixel an object covers. u, v: where in it, from -1 to 1; half_w, half_h: pixels;
    which: whether it is an ellipse, whether it is a triangle."""
    ellipse = ((u * u + v * v).sqrt() - 1) * torch.minimum(half_w, half_h)  # pixels outside the outline
    sides, ends = (u.abs() - 1) * half_w, (v.abs() - 1) * half_h
    slope = (u.abs() - (v + 1) / 2) * half_w * half_h / (half_h**2 + half_w**2 / 4).sqrt()
    outside = torch.where(
        which[0], ellipse, torch.where(which[1], torch.maximum(slope, ends), torch.maximum(sides, ends))
    )
    return (0.5 - outside).clamp(0, 1)


def _middles(count: int) -> Tensor:
    """Of pixels, from the middle of them all."""
    return torch.arange(count) + 0.5 - count / 2


def _one_of(shape: Tensor, names: tuple[str, ...]) -> Tensor:
    return torch.tensor([name in names for name in SHAPES])[shape]


def _levels(paints: list[str]) -> Tensor:
    """#rrggbb -> 0 to 1 (c 3)"""
    return torch.tensor([[int(paint[i : i + 2], 16) / 255 for i in (1, 3, 5)] for paint in paints])
