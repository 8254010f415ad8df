"""Convolutions of a codec's decoder in 8 bits: weights by output, what comes in by frame.

oneDNN convolves unsigned bytes by signed ones and adds to a float32 sum, so a convolution over time is one over space
for each of its frames back. A frame has a scale of its own: a clip in pieces has the numbers of the whole clip.
"""

# Letters: b batch, i channels in, o channels out, k frames of a kernel, t h w a clip's grid

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from sorairo.nn.causal_conv import CausalConv3d, TimeCache, frames_to_images, images_to_frames
from sorairo.nn.precision import has_int8, has_int8_convolutions
from sorairo.nn.quantised import LEVELS, quantised

__all__ = ["Int8CausalConv3d", "Int8Conv2d", "convolutions_to_int8"]

BYTE = 255
PAIR_LEVELS, PAIR_BYTE = 81, 202
"""The largest weight and input where a CPU adds two products in 16 bits (202 * 81 * 2 < 2^15); both lose alike."""
TINY = 1e-12
NARROW = 96
"""Channels below which float32 is faster: a call's own time counts then (64 of them on 24x24: 1.5 times as long)."""
BLOCK = 1 << 17
"""Values that are rounded together: half a megabyte in float32, which a cache holds."""


class Int8Conv2d(nn.Module):
    """A convolution of images in 8 bits, stride 1. taps: (1 o i h w) int8, scale: (o) float32."""

    taps: Tensor
    scale: Tensor
    bias: Tensor

    def __init__(self, layer: nn.Conv2d | nn.Conv3d) -> None:
        """The same layer in 8 bits; its weight may have a first axis of time."""
        super().__init__()
        weight = layer.weight.detach()
        weight = weight if weight.ndim == 5 else weight[:, :, None]  # o i k h w
        levels = LEVELS if has_int8() else PAIR_LEVELS
        held, scale = quantised(weight.flatten(1), levels)
        taps = held.view(weight.shape).movedim(2, 0).contiguous()  # k o i h w
        bias = torch.zeros(len(scale)) if layer.bias is None else layer.bias.detach().float()
        self.in_channels, self.out_channels = layer.in_channels, layer.out_channels
        self.register_buffer("taps", taps)
        self.register_buffer("scale", scale[:, 0])
        self.register_buffer("bias", bias)

    def forward(self, x: Tensor) -> Tensor:
        """b i h w -> b o h w"""
        clip = images_to_frames(x, 1)
        return frames_to_images(self.convolved(clip, clip))

    def convolved(self, x: Tensor, seen: Tensor) -> Tensor:
        """b i t h w -> b o t h w. seen: b i (some + t) h w, x and frames before it; what is not there is zero."""
        b, _, t, h, w = x.shape
        out = torch.empty(b, t, h, w, self.out_channels).copy_(self.bias).permute(0, 4, 1, 2, 3)
        before = seen.shape[2] - t
        orders = self.ordered(h, w)
        for n in range(b):
            for j in range(seen.shape[2]):
                frame = to_bytes(seen[n, :, j])
                for back, order in zip(range(len(orders) - 1, -1, -1), orders, strict=True):
                    if 0 <= j - before + back < t:
                        self.add(out[n : n + 1, :, j - before + back], *frame, order)
        return out.to(x.dtype)

    def ordered(self, h: int, w: int) -> list[Tensor]:
        """Each tap in oneDNN's order: some percent of a convolution, and not held twice."""
        shape = [1, self.in_channels, h, w]
        return [
            torch.ops.onednn.qconv_prepack(tap, self.scale, 1.0, 0, [1, 1], self.padding, [1, 1], 1, shape)
            for tap in self.taps.contiguous()
        ]

    @property
    def padding(self) -> list[int]:
        return [side // 2 for side in self.taps.shape[-2:]]

    def add(self, total: Tensor, frame: Tensor, scale: float, zero: int, order: Tensor) -> None:
        """total (1 o h w) += one tap of a frame (1 i h w), bytes."""
        none = torch.zeros(self.out_channels, dtype=torch.int32)
        torch.ops.onednn.qconv2d_pointwise.binary(
            frame, scale, zero, order, self.scale, none, total, None, [1, 1], self.padding, [1, 1], 1,
            1.0, 0, torch.float32, 1.0, 0, "sum", 1.0, None, [], "",
        )  # fmt: skip


class Int8CausalConv3d(Int8Conv2d):
    """CausalConv3d in 8 bits. taps: (k o i h w) int8."""

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b i t h w -> b o t h w"""
        memory = len(self.taps) - 1
        if memory == 0 or cache is None:
            return self.convolved(x, x)
        tail = cache.tail(self)
        seen = x if tail is None else torch.cat([tail.to(x.dtype), x], dim=2)
        cache.keep(self, seen[:, :, -memory:])
        return self.convolved(x, seen)


def to_bytes(frame: Tensor) -> tuple[Tensor, float, int]:
    """(uint8 (1 i h w), scale, zero) of i h w: x = scale * (byte - zero), zero itself exactly."""
    rows = frame.movedim(0, -1).float()  # h w i
    low, high = (float(end) for end in rows.aminmax())
    low, high = min(low, 0.0), max(high, 0.0)
    most = BYTE if has_int8() else PAIR_BYTE
    scale = max((high - low) / most, TINY)
    zero = round(-low / scale)
    made = torch.empty(rows.shape, dtype=torch.uint8)
    for piece, some in _blocks(made, rows):
        piece.copy_((some * (1 / scale)).round_().add_(zero).clamp_(0, most))
    return made.movedim(-1, 0)[None], scale, zero


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Tensors of one shape, a cacheful of lines after another."""
    lines = max(1, BLOCK // max(1, tensors[0][0].numel()))
    yield from zip(*(tensor.split(lines) for tensor in tensors), strict=True)


def convolutions_to_int8(module: nn.Module, but: tuple[str, ...] = (), narrow: int = NARROW) -> None:
    """Exchange a network's convolutions of stride 1 for ones in 8 bits, where this CPU has such a product and they are
    in float32. but: names that stay as they are, as layers of fewer channels than `narrow` do."""
    if not has_int8_convolutions():
        return
    for path, layer in list(module.named_modules()):
        if path in but or not isinstance(layer, CausalConv3d | nn.Conv2d):
            continue
        if min(layer.in_channels, layer.out_channels) < narrow:
            continue
        if layer.weight.dtype != torch.float32 or layer.weight.device.type != "cpu" or max(layer.stride) > 1:
            continue
        parent, _, last = path.rpartition(".")
        made = Int8CausalConv3d(layer) if isinstance(layer, CausalConv3d) else Int8Conv2d(layer)
        setattr(module.get_submodule(parent), last, made)
