"""Convolutions over time that never look ahead.

Everything here expects and keeps the channels_last_3d layout (memory order b t h w c): it is what processors
convolve fastest, and frames can be read as images, or positions as rows of channels, with no copy.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

__all__ = [
    "CausalConv3d",
    "TimeCache",
    "channels_innermost",
    "frames_to_images",
    "images_to_frames",
    "in_turn",
    "pad_front",
]

AT_ONCE = 1 << 22
"""Values of an input that go through a layer together where frames are taken in turn."""


class TimeCache:
    """What each causal layer remembers of the frames before, so that a clip can be processed in pieces.

    One cache belongs to one clip and one pass (encoding or decoding it). `started` is False during the first piece,
    whose first frame stands alone in time.
    """

    def __init__(self) -> None:
        self.started = False
        self._tails: dict[nn.Module, Tensor] = {}

    def tail(self, layer: nn.Module) -> Tensor | None:
        """The last frames that `layer` saw (b c t h w), or None if it has seen none."""
        return self._tails.get(layer)

    def keep(self, layer: nn.Module, frames: Tensor) -> None:
        """Remember `frames` (b c t h w) for `layer`. They are copied: a view would hold the whole piece alive."""
        self._tails[layer] = frames.detach().clone(memory_format=torch.channels_last_3d)

    def nbytes(self) -> int:
        """Bytes held."""
        return sum(tail.nbytes for tail in self._tails.values())


class CausalConv3d(nn.Conv3d):
    """A 3-D convolution whose output frame t depends on input frames <= t (Wan 2.1, arXiv 2503.20314, 4.1).

    Space is padded by the convolution itself; time is padded in front, with zeros at the start of a clip and with the
    cached frames later on.
    """

    def __init__(self, in_channels: int, out_channels: int, kernel: int | tuple[int, int, int]) -> None:
        t, h, w = (kernel,) * 3 if isinstance(kernel, int) else kernel
        super().__init__(in_channels, out_channels, (t, h, w), padding=(0, h // 2, w // 2))
        self.memory = t - 1

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b c' t h w"""
        if self.memory == 0:
            return super().forward(x)
        tail = cache.tail(self) if cache is not None else None
        missing = self.memory - (0 if tail is None else tail.shape[2])
        if tail is not None:
            x = torch.cat([tail.to(x.dtype), x], dim=2)
        if cache is not None:
            cache.keep(self, x[:, :, -self.memory :])
        return super().forward(pad_front(x, missing))


def pad_front(x: Tensor, frames: int) -> Tensor:
    """Zero frames before the clip, in the layout that convolutions like: b c t h w -> b c (frames + t) h w."""
    if frames == 0:
        return x
    zeros = x.new_zeros(x.shape[0], x.shape[1], frames, x.shape[3], x.shape[4])
    return torch.cat([zeros.contiguous(memory_format=torch.channels_last_3d), x], dim=2)


def frames_to_images(x: Tensor) -> Tensor:
    """b c t h w -> (b t) c h w; in channels_last_3d a view, already channels_last."""
    return x.transpose(1, 2).flatten(0, 1)


def images_to_frames(x: Tensor, batch: int) -> Tensor:
    """(b t) c h w -> b c t h w; in channels_last a view, already channels_last_3d."""
    return x.unflatten(0, (batch, -1)).transpose(1, 2)


def in_turn(
    layer: Callable[[Tensor, TimeCache | None], Tensor],
    x: Tensor,
    cache: TimeCache | None = None,
    widest: int = 0,
) -> Tensor:
    """layer(x, cache), a few frames after the others where they are large: what lies between is then small.

    layer: causal, one frame out for one frame in (b c t h w -> b c' t h' w'). widest: channels of x that hold as many
    values as a place of x becomes within the layer, if more than it has. The same numbers, whatever is cached. Under
    autograd, which keeps all that lies between anyway, all frames are taken at once.
    """
    b, c, t, h, w = x.shape
    frames = max(1, AT_ONCE // max(1, b * max(c, widest) * h * w))
    if frames >= t or torch.is_grad_enabled():
        return layer(x, cache)
    cache = TimeCache() if cache is None else cache
    out: Tensor | None = None
    for start in range(0, t, frames):
        piece = layer(x[:, :, start : start + frames], cache)
        if out is None:
            b, c, _, h, w = piece.shape
            out = piece.new_empty((b, t, h, w, c)).permute(0, 4, 1, 2, 3)
        out[:, :, start : start + frames] = piece
    assert out is not None
    return out


def channels_innermost(module: nn.Module) -> None:
    """Lay every convolution's kernel out as its input will be, channels innermost."""
    for parameter in module.parameters():
        if parameter.ndim in (4, 5):
            layout = torch.channels_last if parameter.ndim == 4 else torch.channels_last_3d
            parameter.data = parameter.data.contiguous(memory_format=layout)
