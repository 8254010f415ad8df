"""VACE's branch: what is known, a clip to follow and reference pictures -> hints that are added to the blocks' tokens.

The same mathematics as diffusers' WanVACETransformer3DModel. Source: Jiang et al. 2025 (VACE, arXiv 2503.07598),
section 3.3, "context adapter tuning".
"""

# Letters: b batch, c channels, t h w latent grid, s tokens of a frame, d width

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import nn

from sorairo.nn.rope import Turns
from sorairo.transformer.block import Block
from sorairo.transformer.conditions import Words
from sorairo.transformer.patches import Patches

__all__ = ["Control"]


class Control(nn.Module):
    """blocks: of its own, one for each block of the transformer that is given a hint."""

    def __init__(self, channels: int, side: int, width: int, blocks: Sequence[Block]):
        super().__init__()
        self.patches = Patches(channels, side, width)
        self.enter = nn.Linear(width, width)
        self.blocks = nn.ModuleList(blocks)
        self.leave = nn.ModuleList(nn.Linear(width, width) for _ in blocks)

    def hints(
        self, control: torch.Tensor, x: torch.Tensor, modulation: torch.Tensor, words: Words, turns: Turns
    ) -> Iterator[torch.Tensor]:
        """A hint (b t s d) for each of the blocks that take one, in order, each computed when it is asked for.

        control: (b c t h w). x: the tokens (b t s d) that enter the first block.
        """
        y = self.enter(self.patches(control)) + x  # b t s d
        for block, leave in zip(self.blocks, self.leave, strict=True):
            y = block(y, modulation, words, turns)  # b t s d
            yield leave(y)  # b t s d
