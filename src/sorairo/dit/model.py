"""DiT, the architecture that Sora's is built on: patches, a class and a time in; predicted noise out."""

# Letters: b batch, c channels, h w latent grid, n tokens, d width, k heads

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import nn

from sorairo.nn.attention import attention
from sorairo.nn.norm import modulate
from sorairo.transformer.block import FeedForward, gated
from sorairo.transformer.conditions import sinusoids
from sorairo.transformer.patches import Patches, from_patches

__all__ = ["PRESETS", "DiT", "DiTConfig", "sincos_positions"]


@dataclass(frozen=True, kw_only=True)
class DiTConfig:
    """The shape of a DiT. side: height and width of the latents. classes: without the null class, which is added.

    out_channels: twice `channels` where the variance is learned: predicted noise, then where its log-variance lies.
    eps: of the norm before the feed-forward part; the others have 1e-6.
    """

    channels: int = 4
    out_channels: int = 8
    side: int = 32
    patch_side: int = 2
    layers: int = 28
    heads: int = 16
    head_dim: int = 72
    classes: int = 1000
    freq_dim: int = 256
    eps: float = 1e-5

    @property
    def width(self) -> int:
        return self.heads * self.head_dim

    @property
    def null_class(self) -> int:
        """The label that stands for no label (guidance is measured against it)."""
        return self.classes


PRESETS = {
    "tiny": DiTConfig(side=8, layers=2, heads=2, head_dim=16),
    "xl-2-256": DiTConfig(),
    "xl-2-512": DiTConfig(side=64),
}


def sincos_positions(grid: tuple[int, int], width: int, side: int, device: torch.device) -> torch.Tensor:
    """The fixed position of every token: (n d) float32, n in row order.

    The first half of the channels tells the column and the second the row, each as sines, then cosines. A grid
    other than side x side is stretched onto it.
    Source: Peebles & Xie 2023, section 3.2; the sines are those of Vaswani et al. 2017, section 3.5.
    """
    dtype = torch.float32 if device.type == "mps" else torch.float64
    quarter = width // 4
    pace = 10000.0 ** (-torch.arange(quarter, dtype=dtype, device=device) / quarter)  # d/4
    waves = []
    for length in grid:
        place = torch.arange(length, dtype=torch.float32, device=device) / (length / side)
        angle = torch.outer(place.to(dtype), pace)
        waves.append(torch.cat([angle.sin(), angle.cos()], dim=-1))  # length d/2
    rows = waves[0][:, None].expand(*grid, -1)  # h w d/2
    columns = waves[1][None].expand(*grid, -1)  # h w d/2
    return torch.cat([columns, rows], dim=-1).flatten(0, 1).float()  # n d


class Condition(nn.Module):
    """Timestep (b) in 0..999 and label (b), null_class included -> what every block is told, (b d)."""

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.freq_dim = config.freq_dim
        self.first = nn.Linear(config.freq_dim, config.width)
        self.second = nn.Linear(config.width, config.width)
        self.label = nn.Embedding(config.classes + 1, config.width)

    def forward(self, timestep: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        waves = sinusoids(timestep, self.freq_dim, ends=True).to(self.first.weight.dtype)  # b freq_dim
        return F.silu(self.second(F.silu(self.first(waves))) + self.label(label))  # b d


class Attention(nn.Module):
    """Every token attends to every token: (b n d) -> (b n d)."""

    def __init__(self, width: int, heads: int):
        super().__init__()
        self.heads = heads
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = (rearrange(p(x), "b n (k c) -> b k n c", k=self.heads) for p in (self.q, self.k, self.v))
        return self.out(rearrange(attention(q, k, v), "b k n c -> b n (k c)"))


class DiTBlock(nn.Module):
    """Tokens (b n d), condition (b d) -> tokens (b n d).

    Source: Peebles & Xie 2023, figure 3, "DiT block with adaLN-Zero".
    """

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.eps = config.eps
        self.attention = Attention(config.width, config.heads)
        self.feed_forward = FeedForward(config.width, 4 * config.width)
        self.modulation = nn.Linear(config.width, 6 * config.width)

    def forward(self, x: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        shift, scale, gate, shift2, scale2, gate2 = (
            self.modulation(condition).float().unsqueeze(1).chunk(6, dim=-1)
        )  # b 1 d each
        x = gated(x, gate, self.attention(modulate(x, shift, scale)))  # b n d
        x = gated(x, gate2, self.feed_forward(modulate(x, shift2, scale2, self.eps)))  # b n d
        return x


class DiT(nn.Module):
    """Predicted noise (and variance) of noisy latents.

    latents: (b c h w), multiples of patch_side. timestep: (b), 0..999. label: (b), 0..classes; `null_class` is none.
    Returns (b out_channels h w). Computes in the dtype of its weights, with norms and modulation in float32.
    Source: Peebles & Xie 2023 (arXiv 2212.09748); the same function as diffusers' DiTTransformer2DModel.
    """

    def __init__(self, config: DiTConfig):
        super().__init__()
        self.config = config
        self.patches = Patches(config.channels, config.patch_side, config.width)
        self.condition = Condition(config)
        self.blocks = nn.ModuleList(DiTBlock(config) for _ in range(config.layers))
        self.modulation = nn.Linear(config.width, 2 * config.width)
        self.project = nn.Linear(config.width, config.patch_side**2 * config.out_channels)

    def forward(self, latents: torch.Tensor, timestep: torch.Tensor, label: torch.Tensor) -> torch.Tensor:
        p = self.config.patch_side
        grid = latents.shape[-2] // p, latents.shape[-1] // p  # tokens along h, w
        places = sincos_positions(grid, self.config.width, self.config.side // p, latents.device)  # n d
        x = self.patches(latents.unsqueeze(2)).squeeze(1)  # b n d
        x = (x + places).to(x.dtype)  # b n d
        condition = self.condition(timestep, label)  # b d
        for block in self.blocks:
            x = block(x, condition)  # b n d
        shift, scale = self.modulation(condition).float().unsqueeze(1).chunk(2, dim=-1)  # b 1 d each
        x = self.project(modulate(x, shift, scale))  # b n p*p*c
        return from_patches(x.unsqueeze(1), p, grid[0]).squeeze(2)  # b c h w

    @torch.no_grad()
    def init_weights(self) -> None:
        """Weights to begin training from: every block begins as the identity (section 3.2, "adaLN-Zero")."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for weight in (
            self.condition.first.weight,
            self.condition.second.weight,
            self.condition.label.weight,
        ):
            nn.init.normal_(weight, std=0.02)
        zero: list[nn.Module] = [self.modulation, self.project]
        for module in [*zero, *(block.get_submodule("modulation") for block in self.blocks)]:
            assert isinstance(module, nn.Linear)
            nn.init.zeros_(module.weight)
