"""Convolutions at the full latent resolution, before the patches and after the head: outlines that patches blur.

A token stands for a patch of 2 x 2 latents, and attention has to learn which patches lie side by side. A few cheap
convolutions on both sides of the transformer know that from the start, and a long skip carries fine detail past it.
Sources: U-DiT (Tian et al. 2024, arXiv 2405.02730) and HDiT (Crowson et al. 2024, arXiv 2401.11605) for local work
around a transformer, ConvNeXt (Liu et al. 2022, arXiv 2201.03545) for the block.
"""

# Letters: b batch, c latent channels, f local channels, t h w latent grid, n = b t frames

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.norm import layer_norm, modulate
from sorairo.transformer.conditions import sinusoids

__all__ = ["Local", "LocalBlock", "local_flops"]

SIDE = 5
"""Latents that a depthwise kernel spans; 40 pixels of the default model's."""
WIDER = 2
"""How many times the local channels there are between a block's two products."""


class LocalBlock(nn.Module):
    """Each frame by itself: a depthwise convolution, then two products per position. (n h w f) -> (n h w f)."""

    def __init__(self, width: int, freq_dim: int):
        super().__init__()
        self.spread = nn.Conv2d(width, width, SIDE, padding=SIDE // 2, groups=width)
        self.time = nn.Linear(freq_dim, 2 * width)
        self.up = nn.Linear(width, WIDER * width)
        self.down = nn.Linear(WIDER * width, width)

    def forward(self, x: torch.Tensor, waves: torch.Tensor) -> torch.Tensor:
        shift, scale = self.time(waves)[:, None, None].chunk(2, dim=-1)  # n 1 1 f each
        y = self.spread(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # n h w f: channels stay innermost
        y = modulate(y, shift, scale)  # n h w f
        return x + self.down(F.gelu(self.up(y), approximate="tanh"))  # n h w f


class Local(nn.Module):
    """What stands around the transformer: `before` gives it features, `after` corrects the velocity that it gives.

    blocks: on each of the two sides. given: channels that come in; channels: those of a velocity, c. width: f.
    freq_dim: how many sinusoids tell a block how noisy its frame is.
    """

    def __init__(self, blocks: int, given: int, channels: int, width: int, freq_dim: int):
        super().__init__()
        self.freq_dim = freq_dim
        self.enter = nn.Linear(given, width)
        self.down = nn.ModuleList(LocalBlock(width, freq_dim) for _ in range(blocks))
        self.up = nn.ModuleList(LocalBlock(width, freq_dim) for _ in range(blocks))
        self.leave = nn.Linear(width, channels)

    def before(self, latents: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Features (b f t h w) of latents (b c t h w) at timestep (b) or (b t)."""
        x = latents.permute(0, 2, 3, 4, 1).flatten(0, 1)  # n h w c
        x = self.enter(x.to(self.enter.weight.dtype))  # n h w f
        return _frames(self._through(self.down, x, latents, timestep), latents)  # b f t h w

    def after(self, features: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """What to add to the velocity (b c t h w); features (b f t h w): those of `before` plus those of the head."""
        x = features.permute(0, 2, 3, 4, 1).flatten(0, 1)  # n h w f
        x = self._through(self.up, x, features, timestep)  # n h w f
        return _frames(self.leave(layer_norm(x).to(x.dtype)), features)  # b c t h w

    def _through(
        self, blocks: nn.ModuleList, x: torch.Tensor, like: torch.Tensor, timestep: torch.Tensor
    ) -> torch.Tensor:
        b, t = like.shape[0], like.shape[2]
        times = timestep[:, None] if timestep.ndim == 1 else timestep  # b 1|t
        waves = sinusoids(times.expand(b, t).flatten(), self.freq_dim).to(x.dtype)  # n freq_dim
        for block in blocks:
            x = block(x, waves)  # n h w f
        return x

    @torch.no_grad()
    def init_weights(self) -> None:
        """Weights to begin training from: nothing is added to the velocity, and noise levels make no difference."""
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        for block in (*self.down, *self.up):
            assert isinstance(block, LocalBlock)
            nn.init.zeros_(block.time.weight)
        nn.init.zeros_(self.leave.weight)


def local_flops(blocks: int, channels: int, width: int, positions: int) -> int:
    """Floating-point operations of one clip's way through both sides. positions: t h w of its latents."""
    block = width * (SIDE * SIDE + 2 * WIDER * width)
    return 2 * positions * (2 * blocks * block + 2 * channels * width)


def _frames(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """(n h w f) -> (b f t h w)."""
    return x.unflatten(0, (like.shape[0], -1)).permute(0, 4, 1, 2, 3)
