"""A small decoder of a latent space: what the codec's decoder does, in about a quarter of its time.

Wan's decoder computes most of its layers at a quarter of the picture's resolution and at the full rate of frames. This
one computes all of them on the latents' own grid and writes a whole block of pixels for each position, so it handles a
seventh of the positions. The idea of a second, cheap decoder: TAESD and TAEHV (github.com/madebyollin).

Letters: b batch, t h w the latent grid, z latent channels, c width, f frames a latent, s pixels a side of its block.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sorairo.codec.latent_space import LatentSpace, unblock
from sorairo.codec.norm import NormSiLU
from sorairo.nn.causal_conv import CausalConv3d, TimeCache, channels_innermost

__all__ = ["SmallDecoder", "SmallDecoderConfig"]

LARGE = 1 << 22
"""Values of one layer that are computed together: a longer or larger clip goes through in pieces."""


@dataclass(frozen=True, kw_only=True)
class SmallDecoderConfig:
    """z_dim: latent channels. width, blocks: of the network. time_factor, space_factor: frames, and pixels a side, that
    one latent stands for (the first latent of a clip stands for one frame)."""

    z_dim: int = 24
    width: int = 128
    blocks: int = 4
    time_factor: int = 2
    space_factor: int = 8


class Block(nn.Module):
    """A convolution within each frame, then one over time, beside a shortcut; the last one starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1 = NormSiLU(width)
        self.within = CausalConv3d(width, width, (1, 3, 3))
        self.norm2 = NormSiLU(width)
        self.over = CausalConv3d(width, width, (3, 1, 1))
        nn.init.zeros_(self.over.weight)

    def forward(self, x: Tensor, cache: TimeCache | None) -> Tensor:
        """b c t h w -> b c t h w"""
        return x + self.over(self.norm2(self.within(self.norm1(x))), cache)


class SmallDecoder(nn.Module):
    """Normalised latents -> pixels: a linear map of each latent (at first the latent space's own inverse) and of what
    causal residual blocks add to it."""

    def __init__(self, config: SmallDecoderConfig) -> None:
        super().__init__()
        self.config = config
        z, c, pixels = config.z_dim, config.width, 3 * config.space_factor**2
        self.conv_in = CausalConv3d(z, c, (1, 3, 3))
        self.blocks = nn.ModuleList(Block(c) for _ in range(config.blocks))
        self.norm = NormSiLU(c)
        self.first = nn.Linear(z + c, pixels)
        self.after = nn.Linear(z + c, config.time_factor * pixels)
        channels_innermost(self)

    @torch.no_grad()
    def begin_as(self, space: LatentSpace) -> None:
        """Begin as the best linear inverse of `space`, with what the blocks add at zero."""
        z = self.config.z_dim
        unit = torch.eye(z + 1, z)[:, :, None, None, None]  # of every channel, and of none
        for head, at in ((self.first, 0), (self.after, 1)):
            blocks = space.blocks(unit.repeat(1, 1, 2, 1, 1))[at]  # n f (3 s s)
            rows = blocks.flatten(1)
            head.weight.zero_()
            head.weight[:, :z] = (rows[:z] - rows[z]).T
            head.bias.copy_(rows[z])

    def decode(self, latents: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b z (1+k) h w, normalised -> b 3 (1+fk) sh sw in [-1, 1]; in pieces where it is large, to the same pixels."""
        frames = max(1, LARGE // max(1, latents[:, 0, 0].numel() * self.config.width))
        if cache is None and frames < latents.shape[2]:
            kept = TimeCache()
            return torch.cat([self.decode(piece, kept) for piece in latents.split(frames, dim=2)], dim=2)
        return self(latents, cache).clamp(-1, 1)

    def forward(self, latents: Tensor, cache: TimeCache | None = None) -> Tensor:
        """b z (1+k) h w, normalised -> b 3 (1+fk) sh sw, not clamped. cache: of the pieces before."""
        x = self.conv_in(latents.contiguous(memory_format=torch.channels_last_3d))
        for block in self.blocks:
            x = block(x, cache)
        x = torch.cat([latents, self.norm(x)], dim=1).movedim(1, -1)  # b t h w (z c)
        side, parts = self.config.space_factor, []
        if cache is None or not cache.started:
            parts.append(unblock(self.first(x[:, :1]).unsqueeze(-2), side))
            x = x[:, 1:]
        if cache is not None:
            cache.started = True
        if x.shape[1]:
            parts.append(unblock(self.after(x).unflatten(-1, (self.config.time_factor, -1)), side))
        return torch.cat(parts, dim=2)

    def flops(self, latents: int) -> float:
        """Floating-point operations of that many latent positions."""
        c, heads = self.config.width, self.after.in_features * self.after.out_features
        return 2.0 * latents * (9 * self.config.z_dim * c + 12 * c * c * self.config.blocks + heads)
