"""Halving and doubling of the grid: the learned way, and the fixed way that shortcuts take.

In time the first frame of a clip stands alone: 1 + 2k frames become 1 + k and back.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sorairo.nn.causal_conv import (
    CausalConv3d,
    TimeCache,
    frames_to_images,
    images_to_frames,
    in_turn,
    pad_front,
)

__all__ = ["Downsample", "Upsample", "average_down", "duplicate_up"]


class Downsample(nn.Module):
    """A strided convolution in space; then, if `time`, one in time: b c t h w -> b c t' h/2 w/2."""

    def __init__(self, channels: int, *, time: bool) -> None:
        super().__init__()
        self.space = nn.Conv2d(channels, channels, 3, stride=2)
        self.time = nn.Conv3d(channels, channels, (3, 1, 1), stride=(2, 1, 1)) if time else None

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c (1 + 2k) h w -> b c (1 + k) h/2 w/2 at the start of a clip, b c 2k h w -> b c k h/2 w/2 later"""
        x = in_turn(self.halved, x)
        if self.time is None:
            return x
        tail = cache.tail(self) if cache is not None else None
        if cache is not None:
            cache.keep(self, x[:, :, -1:])
        if tail is not None:
            return self.time(torch.cat([tail.to(x.dtype), x], dim=2))
        if x.shape[2] == 1:
            return x
        return torch.cat([x[:, :, :1], self.time(x)], dim=2)

    def halved(self, x: Tensor, _: TimeCache | None) -> Tensor:
        """b c t h w -> b c t h/2 w/2"""
        images = F.pad(frames_to_images(x), (0, 1, 0, 1))  # Wan pads right and below only
        return images_to_frames(self.space(images), x.shape[0])


class Upsample(nn.Module):
    """If `time`, a convolution that makes two frames of one; then nearest doubling and a convolution in space."""

    def __init__(self, in_channels: int, out_channels: int, *, time: bool) -> None:
        super().__init__()
        self.time = CausalConv3d(in_channels, 2 * in_channels, (3, 1, 1)) if time else None
        self.space = nn.Conv2d(in_channels, out_channels, 3, padding=1)

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c (1 + k) h w -> b c' (1 + 2k) 2h 2w at the start of a clip, b c k h w -> b c' 2k 2h 2w later"""
        if self.time is not None:
            alone = 1 if cache is None or not cache.started else 0
            x = torch.cat([x[:, :, :alone], self.double_time(x[:, :, alone:], cache)], dim=2)
        return in_turn(self.doubled, x)

    def doubled(self, x: Tensor, _: TimeCache | None) -> Tensor:
        """b c t h w -> b c' t 2h 2w"""
        images = F.interpolate(frames_to_images(x), scale_factor=2.0, mode="nearest-exact")
        return images_to_frames(self.space(images), x.shape[0])

    def double_time(self, x: Tensor, cache: TimeCache | None) -> Tensor:
        """b c t h w -> b c 2t h w; the clip's first frame never comes here, so this convolution does not see it"""
        if x.shape[2] == 0:
            return x
        assert self.time is not None
        b, c, t, h, w = x.shape
        y = self.time(x, cache)  # b (2 c) t h w
        y = y.permute(0, 2, 3, 4, 1).reshape(b, t, h, w, 2, c)
        return y.permute(0, 5, 1, 4, 2, 3).flatten(2, 3)  # b c (t 2) h w


def average_down(x: Tensor, out_channels: int, *, time: int, space: int) -> Tensor:
    """Fold blocks of time x space x space positions into channels and average neighbours down to `out_channels`.

    b c (t time) (h space) (w space) -> b c' t h w (Wan 2.2's AvgDown3D). Averaging runs over the innermost of
    (c time space space), so it is pooling over some axes and folding over the others.
    """
    x = pad_front(x, -x.shape[2] % time)
    fold = (time, space, space)
    pool = innermost(fold, x.shape[1] * time * space * space // out_channels)
    for axis, size in zip((4, 3, 2), reversed(pool), strict=True):
        if size > 1:
            even, odd = x.unflatten(axis, (-1, 2)).unbind(axis + 1)
            x = (even + odd) * 0.5
    rt, rh, rw = (f // p for f, p in zip(fold, pool, strict=True))
    if rt * rh * rw == 1:
        return x
    b, c, t, h, w = x.shape
    x = x.reshape(b, c, t // rt, rt, h // rh, rh, w // rw, rw).permute(
        0, 2, 4, 6, 1, 3, 5, 7
    )  # b t h w c rt rh rw
    return x.flatten(4).permute(0, 4, 1, 2, 3)


def duplicate_up(x: Tensor, out_channels: int, *, time: int, space: int, first: bool) -> Tensor:
    """Unfold channels into blocks of time x space x space positions, duplicating where there are too few.

    b c t h w -> b c' (t time) (h space) (w space) (Wan 2.2's DupUp3D); at the start of a clip (`first`) the frames
    that would precede frame 0 are dropped.
    """
    fold = (time, space, space)
    repeat = innermost(fold, out_channels * time * space * space // x.shape[1])
    rt, rh, rw = (f // r for f, r in zip(fold, repeat, strict=True))
    b, _, t, h, w = x.shape
    y = x.permute(0, 2, 3, 4, 1).reshape(b, t, h, w, out_channels, rt, rh, rw)
    y = y.permute(0, 1, 5, 2, 6, 3, 7, 4).expand(b, t, time, h, space, w, space, out_channels)
    y = y.reshape(b, t * time, h * space, w * space, out_channels).permute(0, 4, 1, 2, 3)
    return y[:, :, time - 1 :] if first else y


def innermost(fold: tuple[int, int, int], size: int) -> tuple[int, int, int]:
    """The part of each axis of `fold` that a run of `size` innermost elements covers: (2, 2, 2), 4 -> (1, 2, 2)."""
    covered = [1, 1, 1]
    for axis in (2, 1, 0):
        if size > 1:
            covered[axis] = fold[axis]
            size //= fold[axis]
    assert size == 1, "the shortcut's widths do not divide; CodecConfig refuses such widths"
    return covered[0], covered[1], covered[2]
