"""The network that doubles a frame: what it adds to bicubic, worked out at the small size (Shi et al. 2016, ESPCN)."""

# Letters: n frames, c channels, h w the small size

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = ["Upscaler", "UpscalerConfig", "bicubic", "halved", "with_neighbours"]


@dataclass(frozen=True, kw_only=True)
class UpscalerConfig:
    """width: channels of every inner convolution. blocks: residual pairs of these."""

    width: int = 32
    blocks: int = 2


class Upscaler(nn.Module):
    """Each frame with the one before and the one after it -> the frame at twice the size.

    3 x 3 convolutions throughout: one in, `blocks` residual pairs, one out to the four pixels of each pixel.
    """

    def __init__(self, config: UpscalerConfig) -> None:
        super().__init__()
        self.config = config
        width = config.width
        self.head = nn.Conv2d(9, width, 3, padding=1)
        self.body = nn.ModuleList(Pair(width) for _ in range(config.blocks))
        self.tail = nn.Conv2d(width, 12, 3, padding=1)
        nn.init.zeros_(self.tail.weight)  # so that it begins as bicubic
        nn.init.zeros_(self.tail.bias)  # pyright: ignore[reportArgumentType]
        self.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]

    def forward(self, frames: Tensor) -> Tensor:
        """n 9 h w in [-1, 1] (before, the frame itself, after) -> n 3 2h 2w, float32."""
        return bicubic(frames[:, 3:6].float()) + self.detail(frames).float()

    def detail(self, frames: Tensor) -> Tensor:
        """What bicubic lacks, n 3 2h 2w in the dtype of the weights."""
        x = frames.to(self.head.weight.dtype).contiguous(memory_format=torch.channels_last)
        x = F.relu(self.head(x))  # n c h w
        for pair in self.body:
            x = pair(x)
        return F.pixel_shuffle(self.tail(x), 2)


class Pair(nn.Module):
    """Two convolutions beside a path that leaves all as it is."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x)))


def bicubic(frames: Tensor) -> Tensor:
    """n c h w -> n c 2h 2w by Keys' kernel with a = -0.5, which is Pillow's (torch's own, -0.75, overshoots more)."""
    return F.interpolate(frames, scale_factor=2, mode="bicubic", align_corners=False, antialias=True)


def halved(frames: Tensor) -> Tensor:
    """uint8 frames (... h w 3) of even sides at half the size, each pixel the mean of four."""
    *lead, h, w, c = frames.shape
    blocks = frames.float().reshape(*lead, h // 2, 2, w // 2, 2, c)
    return blocks.mean(dim=(-4, -2)).round().to(torch.uint8)


def with_neighbours(frames: Tensor) -> Tensor:
    """A clip (t 3 h w) -> t 9 h w: every frame between its neighbours, the ends beside themselves."""
    before = torch.cat([frames[:1], frames[:-1]])
    after = torch.cat([frames[1:], frames[-1:]])
    return torch.cat([before, frames, after], dim=1)
