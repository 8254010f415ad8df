"""Rotary position embedding over time, height and width: each axis turns its share of a head's channels."""

# Letters: b batch, k heads, n tokens, c channels of a head, t h w the grid of tokens

from __future__ import annotations

from typing import NamedTuple

import torch

from sorairo.nn.packed import Sequences

__all__ = ["Turns", "rotate", "turns"]


class Turns(NamedTuple):
    """The angle of every token and channel pair, as (n c/2) float32 cosines and sines.

    sequences: where the n tokens are several clips that each attend to themselves alone (nn/packed.py).
    """

    cos: torch.Tensor
    sin: torch.Tensor
    sequences: Sequences | None = None


def turns(
    grid: tuple[int, int, int],
    head_dim: int,
    device: torch.device | None = None,
    theta: float = 10000.0,
    start: int = 0,
) -> Turns:
    """The turns of a (t h w) grid of tokens, in that order of tokens. start: the place in time of the first.

    Height and width get 2 * (head_dim // 6) channels each, time gets the rest. Computed in float64 at
    every call: it is a few thousand sines, and so the model has no buffers to keep or lose.
    Source: Su et al. 2021, equation 15; the split by axis is Wan's.
    """
    side = 2 * (head_dim // 6)
    dtype = torch.float32 if device is not None and device.type == "mps" else torch.float64
    angles, first = [], (start, 0, 0)
    for axis, (length, channels) in enumerate(zip(grid, (head_dim - 2 * side, side, side), strict=True)):
        pace = theta ** (-torch.arange(0, channels, 2, dtype=dtype, device=device) / channels)  # c'/2
        places = torch.arange(first[axis], first[axis] + length, dtype=dtype, device=device)  # length
        angle = torch.outer(places, pace)  # length c'/2
        shape = [1, 1, 1, channels // 2]
        shape[axis] = length
        angles.append(angle.view(shape).expand(*grid, -1))  # t h w c'/2
    angle = torch.cat(angles, dim=-1).flatten(0, 2)  # n c/2
    return Turns(angle.cos().float(), angle.sin().float())


def rotate(x: torch.Tensor, by: Turns) -> torch.Tensor:
    """Turn every pair of neighbouring channels of x (b k n c) by its token's angle; same shape and dtype."""
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)  # b k n c/2
    turned = (even * by.cos - odd * by.sin, even * by.sin + odd * by.cos)
    return torch.stack(turned, dim=-1).flatten(-2).to(x.dtype)  # b k n c
