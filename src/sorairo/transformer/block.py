"""One block: attention among all tokens, attention to the words, and a feed-forward part."""

# Letters: b batch, t frames, s tokens of a frame, n = t s tokens, l words, m tokens of given images, d width,
# k heads, c = d / k

from __future__ import annotations

from functools import partial
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.attention import Attend, attention, in_blocks
from sorairo.nn.norm import LayerNorm, RMSNorm, modulate
from sorairo.nn.packed import AttendEach, attend_each, attend_to_own
from sorairo.nn.rope import Turns, rotate
from sorairo.transformer.conditions import Words

__all__ = [
    "Attends",
    "Block",
    "CrossAttention",
    "FeedForward",
    "ImageKeys",
    "Look",
    "Others",
    "Projections",
    "SelfAttention",
    "gated",
]


class Attends(nn.Module):
    """What all attentions have: heads, and what computes them.

    blocks: see nn.attention; compiling changes it (compiling.py). each, own: see nn.packed, for clips in one row.
    """

    def __init__(self, heads: int):
        super().__init__()
        self.heads = heads
        self.blocks: Attend = in_blocks
        self.each: AttendEach = attend_each
        self.own: AttendEach = attend_to_own

    def split(self, x: torch.Tensor) -> torch.Tensor:
        """(b n d) -> (b k n c)."""
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def merge(self, x: torch.Tensor) -> torch.Tensor:
        """(b k n c) -> (b n d)."""
        return x.transpose(1, 2).flatten(2)


class Projections(Attends):
    """What both attentions have: four products, and norms of queries and keys across all heads at once."""

    def __init__(self, width: int, heads: int, eps: float):
        super().__init__(heads)
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.norm_q = RMSNorm(width, eps)
        self.norm_k = RMSNorm(width, eps)


class Others(Protocol):
    """The processes that hold the other tokens of a clip (transformer/context.py)."""

    def turns(self, place: Turns, frames: int) -> Turns: ...

    def attention(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend
    ) -> torch.Tensor: ...


class Look(Protocol):
    """attend(q, k, v) of the tokens of `frames` frames, with fewer keys or more (transformer/causal.py)."""

    def __call__(
        self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend
    ) -> torch.Tensor: ...


class SelfAttention(Projections):
    """Every token attends to every token of the clip, or to those that `look` has it see: (b t s d) -> (b t s d).

    context: the processes among which the tokens are split, each with s' of every frame's s; None: all are here. turns
    are those of the whole clip either way, or of several clips in one row (1 1 n d).
    """

    def __init__(self, width: int, heads: int, eps: float):
        super().__init__(width, heads, eps)
        self.context: Others | None = None

    def forward(self, x: torch.Tensor, turns: Turns, look: Look | None = None) -> torch.Tensor:
        tokens, frames = x.flatten(1, 2), x.shape[1]  # b n d
        turns = turns if self.context is None else self.context.turns(turns, frames)
        q = rotate(self.split(self.norm_q(self.q(tokens))), turns)  # b k n c
        k = rotate(self.split(self.norm_k(self.k(tokens))), turns)  # b k n c
        v = self.split(self.v(tokens))  # b k n c
        attend: Attend = partial(attention, blocks=self.blocks)
        if turns.sequences is not None:
            attend = partial(self.each, sequences=turns.sequences, blocks=self.blocks)
        if look is not None:
            attend = partial(look, frames=frames, attend=attend)
        seen = attend(q, k, v) if self.context is None else self.context.attention(q, k, v, frames, attend)
        return self.out(self.merge(seen)).view_as(x)  # b t s d


class ImageKeys(nn.Module):
    """Keys and values of given images, beside those of the words: Wan 2.1's image-to-video models have them."""

    def __init__(self, width: int, eps: float):
        super().__init__()
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.norm_k = RMSNorm(width, eps)


class CrossAttention(Projections):
    """Every token attends to the words, and apart from that to given images: (b t s d), Words -> (b t s d)."""

    def __init__(self, width: int, heads: int, eps: float, image: bool = False):
        super().__init__(width, heads, eps)
        self.image = ImageKeys(width, eps) if image else None

    def forward(self, x: torch.Tensor, words: Words) -> torch.Tensor:
        q = self.split(self.norm_q(self.q(x.flatten(1, 2))))  # b k n c
        k = self.split(self.norm_k(self.k(words.states)))  # b k l c
        v = self.split(self.v(words.states))  # b k l c
        if words.sequences is not None:
            return self.out(self.merge(self.own(q, k, v, words.bias, words.sequences))).view_as(x)  # 1 1 n d
        seen = attention(q, k, v, words.bias)  # b k n c
        if self.image is not None:
            assert words.image is not None
            k = self.split(self.image.norm_k(self.image.k(words.image)))  # b k m c
            v = self.split(self.image.v(words.image))  # b k m c
            seen = seen + attention(q, k, v, blocks=self.blocks)
        return self.out(self.merge(seen)).view_as(x)  # b t s d


class FeedForward(nn.Module):
    """Two products with a GELU between: (... d) -> (... d)."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.up = nn.Linear(width, hidden)
        self.down = nn.Linear(hidden, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.gelu(self.up(x), approximate="tanh"))


class Block(nn.Module):
    """Tokens (b t s d) -> tokens (b t s d).

    The six rows of `table` are this block's own offsets to the shared modulation: shift, scale and gate of
    the self-attention, then of the feed-forward part. The cross-attention is not gated by time.
    Source: Wan 2025, section 4.2.2.
    """

    def __init__(
        self, width: int, heads: int, hidden: int, cross_norm: bool, eps: float, image: bool = False
    ):
        super().__init__()
        self.eps = eps
        self.self_attention = SelfAttention(width, heads, eps)
        self.cross_norm = LayerNorm(width, eps) if cross_norm else nn.Identity()
        self.cross_attention = CrossAttention(width, heads, eps, image)
        self.feed_forward = FeedForward(width, hidden)
        self.table = nn.Parameter(torch.zeros(6, width))

    def forward(
        self,
        x: torch.Tensor,
        modulation: torch.Tensor,
        words: Words,
        turns: Turns,
        look: Look | None = None,
    ) -> torch.Tensor:
        shift, scale, gate, shift2, scale2, gate2 = (self.table + modulation.float()).unbind(
            -2
        )  # b t 1 d each
        x = gated(x, gate, self.self_attention(modulate(x, shift, scale, self.eps), turns, look))  # b t s d
        x = x + self.cross_attention(self.cross_norm(x), words)  # b t s d
        x = gated(x, gate2, self.feed_forward(modulate(x, shift2, scale2, self.eps)))  # b t s d
        return x


def gated(x: torch.Tensor, gate: torch.Tensor, change: torch.Tensor) -> torch.Tensor:
    """x + gate * change, summed in float32, in x's dtype."""
    return (x.float() + gate * change).to(x.dtype)
