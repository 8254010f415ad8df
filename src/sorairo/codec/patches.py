"""Pixels folded into channels before the first convolution and unfolded after the last (Wan 2.2)."""

from __future__ import annotations

from torch import Tensor

__all__ = ["patchify", "unpatchify"]


def patchify(video: Tensor, p: int) -> Tensor:
    """b c t (h p) (w p) -> b (c pw ph) t h w, channels_last_3d. Wan puts the column before the row."""
    b, c, t, height, width = video.shape
    x = video.reshape(b, c, t, height // p, p, width // p, p)  # b c t h ph w pw
    x = x.permute(0, 2, 3, 5, 1, 6, 4)  # b t h w c pw ph
    return x.reshape(b, t, height // p, width // p, c * p * p).permute(0, 4, 1, 2, 3)


def unpatchify(x: Tensor, p: int) -> Tensor:
    """b (c pw ph) t h w -> b c t (h p) (w p)"""
    b, channels, t, h, w = x.shape
    x = x.reshape(b, channels // (p * p), p, p, t, h, w)  # b c pw ph t h w
    x = x.permute(0, 1, 4, 5, 3, 6, 2)  # b c t h ph w pw
    return x.reshape(b, channels // (p * p), t, h * p, w * p)
