"""One resolution of the codec: residual blocks and a change of grid, with or without Wan 2.2's shortcut around both."""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from sorairo.codec.blocks import ResidualBlock
from sorairo.codec.resample import Downsample, Upsample, average_down, duplicate_up
from sorairo.nn.causal_conv import TimeCache

__all__ = ["DownStage", "UpStage"]


class DownStage(nn.Module):
    """Blocks, then the grid halves. space, time: whether it halves there; shortcut: Wan 2.2's average around it."""

    def __init__(
        self, in_channels: int, out_channels: int, blocks: int, *, space: bool, time: bool, shortcut: bool
    ) -> None:
        super().__init__()
        widths = [in_channels, *[out_channels] * blocks]
        self.blocks = nn.ModuleList(ResidualBlock(i, o) for i, o in pairwise(widths))
        self.down = Downsample(out_channels, time=time) if space else None
        self.out_channels = out_channels
        self.factors = {"time": 2 if time else 1, "space": 2 if space else 1} if shortcut else None

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b c' t' h' w'"""
        y = x
        for block in self.blocks:
            y = block(y, cache)
        if self.down is not None:
            y = self.down(y, cache)
        if self.factors is not None:
            y = y + average_down(x, self.out_channels, **self.factors)
        return y


class UpStage(nn.Module):
    """Blocks, then the grid doubles. up_channels: the width after doubling (Wan 2.1 halves it there)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        blocks: int,
        *,
        up_channels: int,
        space: bool,
        time: bool,
        shortcut: bool,
    ) -> None:
        super().__init__()
        widths = [in_channels, *[out_channels] * blocks]
        self.blocks = nn.ModuleList(ResidualBlock(i, o) for i, o in pairwise(widths))
        self.up = Upsample(out_channels, up_channels, time=time) if space else None
        self.out_channels = out_channels
        self.factors = {"time": 2 if time else 1, "space": 2} if shortcut and space else None

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b c' t' h' w'"""
        y = x
        for block in self.blocks:
            y = block(y, cache)
        if self.up is not None:
            y = self.up(y, cache)
        if self.factors is not None:
            first = cache is None or not cache.started
            y = y + duplicate_up(x, self.out_channels, **self.factors, first=first)
        return y
