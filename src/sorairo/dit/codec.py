"""The image autoencoder of Stable Diffusion: 8 x 8 pixels to one latent position. DiT's pictures are made in it."""

# Letters: b batch, c channels, h w pixels or latent grid, n = h w positions

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.attention import attention

__all__ = ["PRESETS", "KLImage", "KLImageConfig"]


@dataclass(frozen=True, kw_only=True)
class KLImageConfig:
    """The shape of a KLImage. widths: channels at each level, each but the last halving height and width.

    blocks: residual blocks of a level when encoding; decoding has one more. scaling: what latents are multiplied by
    so that their deviation is about 1.
    """

    latent_channels: int = 4
    widths: tuple[int, ...] = (128, 256, 512, 512)
    blocks: int = 2
    groups: int = 32
    scaling: float = 0.18215

    @property
    def factor(self) -> int:
        """Pixels along one side of a latent position."""
        return 2 ** (len(self.widths) - 1)


PRESETS = {
    "tiny": KLImageConfig(widths=(8, 16), blocks=1, groups=4),
    "sd": KLImageConfig(),
}


class Block(nn.Module):
    """A residual block of two convolutions: (b c h w) -> (b c' h w)."""

    def __init__(self, here: int, there: int, groups: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, here, eps=1e-6)
        self.conv1 = nn.Conv2d(here, there, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, there, eps=1e-6)
        self.conv2 = nn.Conv2d(there, there, 3, padding=1)
        self.shortcut = nn.Conv2d(here, there, 1) if here != there else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.conv1(F.silu(self.norm1(x)))  # b c' h w
        y = self.conv2(F.silu(self.norm2(y)))  # b c' h w
        return self.shortcut(x) + y


class Attention(nn.Module):
    """Every position attends to every position, with one head: (b c h w) -> (b c h w)."""

    def __init__(self, width: int, groups: int):
        super().__init__()
        self.norm = nn.GroupNorm(groups, width, eps=1e-6)
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        tokens = self.norm(x).flatten(2).transpose(1, 2).unsqueeze(1)  # b 1 n c
        tokens = self.out(attention(self.q(tokens), self.k(tokens), self.v(tokens)))  # b 1 n c
        return x + tokens.squeeze(1).transpose(1, 2).unflatten(2, x.shape[2:])


class Middle(nn.Sequential):
    """Block, attention, block, at the lowest resolution."""

    def __init__(self, width: int, groups: int):
        super().__init__(Block(width, width, groups), Attention(width, groups), Block(width, width, groups))


class Down(nn.Module):
    """Half the height and width, by a convolution that looks one pixel to the right and below."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, stride=2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    """Twice the height and width: every pixel four times, then a convolution."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))


class Level(nn.Module):
    """Blocks at one resolution, then a change of resolution (or none at the last level)."""

    def __init__(self, here: int, there: int, blocks: int, groups: int, resize: nn.Module):
        super().__init__()
        self.blocks = nn.Sequential(*(Block(here if i == 0 else there, there, groups) for i in range(blocks)))
        self.resize = resize

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.resize(self.blocks(x))


class Encoder(nn.Module):
    """Images (b 3 h w) -> what the moments are made of (b 2*latent_channels h/f w/f)."""

    def __init__(self, config: KLImageConfig):
        super().__init__()
        widths, top = config.widths, config.widths[-1]
        self.first = nn.Conv2d(3, widths[0], 3, padding=1)
        self.levels = nn.Sequential()
        for i, (here, there) in enumerate(zip(widths[:1] + widths[:-1], widths, strict=True)):
            resize = Down(there) if i + 1 < len(widths) else nn.Identity()
            self.levels.append(Level(here, there, config.blocks, config.groups, resize))
        self.middle = Middle(top, config.groups)
        self.norm = nn.GroupNorm(config.groups, top, eps=1e-6)
        self.last = nn.Conv2d(top, 2 * config.latent_channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.middle(self.levels(self.first(x)))
        return self.last(F.silu(self.norm(x)))


class Decoder(nn.Module):
    """Latents (b latent_channels h w) -> images (b 3 h*f w*f)."""

    def __init__(self, config: KLImageConfig):
        super().__init__()
        widths = config.widths[::-1]
        self.first = nn.Conv2d(config.latent_channels, widths[0], 3, padding=1)
        self.middle = Middle(widths[0], config.groups)
        self.levels = nn.Sequential()
        for i, (here, there) in enumerate(zip(widths[:1] + widths[:-1], widths, strict=True)):
            resize = Up(there) if i + 1 < len(widths) else nn.Identity()
            self.levels.append(Level(here, there, config.blocks + 1, config.groups, resize))
        self.norm = nn.GroupNorm(config.groups, widths[-1], eps=1e-6)
        self.last = nn.Conv2d(widths[-1], 3, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.levels(self.middle(self.first(x)))
        return self.last(F.silu(self.norm(x)))


class KLImage(nn.Module):
    """Images in [-1, 1] <-> latents of deviation about 1.

    Source: Rombach et al. 2022, section 3.1 and appendix G; the same function as diffusers' AutoencoderKL.
    On a CPU move it to memory_format=torch.channels_last: its convolutions take it faster.
    """

    def __init__(self, config: KLImageConfig):
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.moments = nn.Conv2d(2 * config.latent_channels, 2 * config.latent_channels, 1)
        self.unmix = nn.Conv2d(config.latent_channels, config.latent_channels, 1)
        self.decoder = Decoder(config)

    def encode(self, images: torch.Tensor, noise: torch.Tensor | None = None) -> torch.Tensor:
        """Images (b 3 h w) -> latents (b c h/f w/f). noise, of their shape: draw them, rather than take the mean."""
        mean, log_variance = self.moments(self.encoder(images)).chunk(2, dim=1)  # b c h w each
        if noise is not None:
            mean = mean + noise * torch.exp(0.5 * log_variance.clamp(-30, 20))
        return mean * self.config.scaling

    def decode(self, latents: torch.Tensor) -> torch.Tensor:
        """Latents (b c h w) -> images (b 3 h*f w*f), about -1 to 1; not clipped."""
        return self.decoder(self.unmix(latents / self.config.scaling))
