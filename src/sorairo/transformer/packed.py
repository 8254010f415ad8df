"""Clips of mixed sizes and lengths as one row of tokens: what is true of a clip or a frame, token by token.

Source: native sizes packed as NaViT does (Dehghani et al. 2023, arXiv 2307.06304), with attention per clip.
"""

# Letters: s clips, c channels, t h w latent grid, f frames of all clips, n tokens of all clips, d width

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import nn

from sorairo.nn.packed import Sequences
from sorairo.nn.rope import Turns, turns
from sorairo.transformer.patches import from_patches

__all__ = ["Pack", "Spread"]


@dataclass(frozen=True, kw_only=True)
class Pack:
    """Where the tokens of each clip lie. grids: tokens of each clip along time, height and width."""

    grids: tuple[tuple[int, int, int], ...]
    device: torch.device

    @classmethod
    def of(cls, latents: Sequence[torch.Tensor], side: int) -> Pack:
        """Of clips (c t h w), cut into patches of side x side."""
        shapes = (clip.shape[1:] for clip in latents)
        return cls(grids=tuple((t, h // side, w // side) for t, h, w in shapes), device=latents[0].device)

    @property
    def frames(self) -> list[int]:
        return [t for t, _, _ in self.grids]

    @cached_property
    def sequences(self) -> Sequences:
        return Sequences(tuple(t * h * w for t, h, w in self.grids))

    @cached_property
    def frame(self) -> torch.Tensor:
        """Of each token, the number of its frame among all frames (n)."""
        sizes = torch.tensor([h * w for t, h, w in self.grids for _ in range(t)], device=self.device)
        return torch.repeat_interleave(sizes, output_size=sum(self.sequences.counts))

    def held(self, frame: torch.Tensor) -> Sequences:
        """How many tokens of each clip are among those of these frames (n'): all, or one process's."""
        if len(frame) == sum(self.sequences.counts):
            return self.sequences
        clip = torch.repeat_interleave(torch.tensor(self.frames, device=self.device))[frame]
        return Sequences(tuple(torch.bincount(clip, minlength=len(self.grids)).tolist()))

    def turns(self, head_dim: int) -> Turns:
        """Every clip begins at its own first frame and corner."""
        made = {grid: turns(grid, head_dim, self.device) for grid in dict.fromkeys(self.grids)}
        each = [made[grid] for grid in self.grids]
        return Turns(
            torch.cat([one.cos for one in each]), torch.cat([one.sin for one in each]), self.sequences
        )

    def clips(self, tokens: torch.Tensor, side: int) -> list[torch.Tensor]:
        """Values of patches (1 1 n side*side*c) -> clips (c t h w)."""
        made: list[torch.Tensor] = []
        place = 0
        for (t, h, w), group in itertools.groupby(self.grids):
            many = len(list(group))
            part = tokens[0, 0, place : place + many * t * h * w].view(many, t, h * w, -1)  # b t s p*p*c
            made += from_patches(part, side, h).unbind(0)
            place += many * t * h * w
        return made


class Spread(nn.Module):
    """The numbers of the frames of all tokens, (n) -> (1 1 n): a module so that the plan of a split can name it."""

    def forward(self, frame: torch.Tensor) -> torch.Tensor:
        return frame[None, None]
