"""Between latents (b c t h w) and tokens grouped by frame (b t s d), s = the patches of one frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from einops import rearrange
from torch import nn

__all__ = ["Patches", "from_patches", "to_patches"]


def to_patches(latents: torch.Tensor, side: int) -> torch.Tensor:
    """Latents (b c t h w) -> (b t s c*side*side), s in row order. h and w must be multiples of side."""
    return rearrange(latents, "b c t (h p) (w q) -> b t (h w) (c p q)", p=side, q=side)


def from_patches(patches: torch.Tensor, side: int, height: int) -> torch.Tensor:
    """(b t s side*side*c) -> (b c t h w), where height = h / side. Channels come last here, as Wan has it."""
    return rearrange(patches, "b t (h w) (p q c) -> b c t (h p) (w q)", p=side, q=side, h=height)


class Patches(nn.Module):
    """Latents (b c t h w) -> tokens (b t s d): one product over each patch's values. Clips (c t h w) -> (1 1 n d).

    beside: (b t s d), added to the tokens of latents; b may be 1.
    """

    def __init__(self, channels: int, side: int, width: int):
        super().__init__()
        self.side = side
        self.embed = nn.Linear(channels * side * side, width)

    def grid(self, latents: torch.Tensor) -> tuple[int, int, int]:
        """How many tokens there are along time, height and width."""
        t, h, w = latents.shape[2:]
        return t, h // self.side, w // self.side

    def forward(
        self, latents: torch.Tensor | Sequence[torch.Tensor], beside: torch.Tensor | None = None
    ) -> torch.Tensor:
        if isinstance(latents, torch.Tensor):
            tokens = self.embed(to_patches(latents, self.side))
            return tokens if beside is None else tokens + beside.to(tokens.dtype)
        each = [to_patches(clip[None], self.side).flatten(0, 2) for clip in latents]  # n' c*p*p
        return self.embed(torch.cat(each))[None, None]
