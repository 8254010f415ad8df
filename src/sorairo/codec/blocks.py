"""What every stage of the codec is made of: residual blocks, and attention within a frame."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sorairo.codec.norm import ChannelRMSNorm, NormSiLU
from sorairo.nn.causal_conv import CausalConv3d, TimeCache, in_turn

__all__ = ["FrameAttention", "Middle", "ResidualBlock"]


class ResidualBlock(nn.Module):
    """Two causal convolutions beside a shortcut. The last one starts at zero, so the block starts as its shortcut."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = NormSiLU(in_channels)
        self.conv1 = CausalConv3d(in_channels, out_channels, 3)
        self.norm2 = NormSiLU(out_channels)
        self.conv2 = CausalConv3d(out_channels, out_channels, 3)
        self.shortcut = CausalConv3d(in_channels, out_channels, 1) if in_channels != out_channels else None
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b c' t h w"""
        return in_turn(self.all_at_once, x, cache)

    def all_at_once(self, x: Tensor, cache: TimeCache | None) -> Tensor:
        y = self.conv1(self.norm1(x), cache)
        y = self.conv2(self.norm2(y), cache)
        return y + (x if self.shortcut is None else self.shortcut(x))


class FrameAttention(nn.Module):
    """One head of attention among the positions of each frame; frames do not see each other."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = ChannelRMSNorm(channels)
        self.to_qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        nn.init.zeros_(self.proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        """b c t h w -> b c t h w"""
        b, c, t, h, w = x.shape
        y = self.norm(x).permute(0, 2, 3, 4, 1).reshape(b * t, 1, h * w, c)
        q, k, v = self.to_qkv(y).chunk(3, dim=-1)
        y = self.proj(F.scaled_dot_product_attention(q, k, v))
        return x + y.reshape(b, t, h, w, c).permute(0, 4, 1, 2, 3)


class Middle(nn.Module):
    """Residual block, attention, residual block at the codec's coarsest grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block1 = ResidualBlock(channels, channels)
        self.attention = FrameAttention(channels)
        self.block2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b c t h w -> b c t h w"""
        x = self.block1(x, cache)
        x = self.attention(x)
        return self.block2(x, cache)
