"""LongCat-Video: a transformer whose known frames see only themselves, and no words.

So what they are to the others depends on no noise and no words, and can be held as keys and values (causal.History).
The same mathematics as its authors' LongCatVideoTransformer3DModel. Source: Meituan 2025 (LongCat-Video,
arXiv 2510.22200), section 3.
"""

# Letters: b batch, c channels, t h w latent grid, s tokens of a frame, n = t s tokens, l words, d width, e the width of
# times, k heads

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.attention import Attend, attention
from sorairo.nn.norm import LayerNorm, RMSNorm, modulate
from sorairo.nn.rope import Turns, rotate, turns
from sorairo.nn.splitting import Gather, Split
from sorairo.transformer.block import Attends, Look, gated
from sorairo.transformer.causal import History
from sorairo.transformer.conditions import Words, pad_bias, sinusoids
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.transformer.patches import Patches, from_patches

__all__ = ["CONTEXT", "WINDOW", "LongCat", "LongCatBlock", "LongCatConfig"]

WINDOW = 93
"""Frames that are made at once, with those that the clip goes on from. Source: the authors' scripts, as CONTEXT."""
CONTEXT = 13
"""Frames that a clip goes on from, at most."""


@dataclass(frozen=True, kw_only=True)
class LongCatConfig(TransformerConfig):
    """time_dim: width of the times' embedding, from which every block has a modulation of its own. pads: the positions
    behind the words are attended to, as zeros."""

    time_dim: int = 512
    pads: bool = True


class FusedAttention(Attends):
    """Attention among tokens (b t s d), its products for queries, keys and values in one; norms are of each head."""

    def __init__(self, width: int, heads: int, eps: float):
        super().__init__(heads)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.norm_q = RMSNorm(width // heads, eps)
        self.norm_k = RMSNorm(width // heads, eps)

    def forward(self, x: torch.Tensor, place: Turns, look: Look | None) -> torch.Tensor:
        q, k, v = map(self.split, self.qkv(x.flatten(1, 2)).chunk(3, dim=-1))  # b k n c
        q, k = rotate(self.norm_q(q), place), rotate(self.norm_k(k), place)
        attend: Attend = partial(attention, blocks=self.blocks)
        if look is not None:
            attend = partial(look, frames=x.shape[1], attend=attend)
        return self.out(self.merge(attend(q, k, v))).view_as(x)


class FusedCrossAttention(Attends):
    """Every token attends to the words: (b t s d), Words -> (b t s d)."""

    def __init__(self, width: int, heads: int, eps: float):
        super().__init__(heads)
        self.q = nn.Linear(width, width)
        self.kv = nn.Linear(width, 2 * width)
        self.out = nn.Linear(width, width)
        self.norm_q = RMSNorm(width // heads, eps)
        self.norm_k = RMSNorm(width // heads, eps)

    def forward(self, x: torch.Tensor, words: Words) -> torch.Tensor:
        q = self.norm_q(self.split(self.q(x.flatten(1, 2))))  # b k n c
        k, v = map(self.split, self.kv(words.states).chunk(2, dim=-1))  # b k l c
        return self.out(self.merge(attention(q, self.norm_k(k), v, words.bias))).view_as(x)


class GatedFeedForward(nn.Module):
    """Two products, one through a SiLU, times each other: (... d) -> (... d). Source: Shazeer 2020, SwiGLU."""

    def __init__(self, width: int, hidden: int):
        super().__init__()
        self.gate = nn.Linear(width, hidden, bias=False)
        self.up = nn.Linear(width, hidden, bias=False)
        self.down = nn.Linear(hidden, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down(F.silu(self.gate(x)) * self.up(x))


class LongCatBlock(nn.Module):
    """Tokens (b t s d) -> tokens (b t s d). times: of the frames, (b t 1 e), after a SiLU; they give shift, scale and
    gate of the self-attention, then of the feed-forward part. known: how many of the first frames see no words."""

    def __init__(self, config: LongCatConfig):
        super().__init__()
        width, heads, self.eps = config.width, config.heads, config.eps
        self.modulation = nn.Linear(config.time_dim, 6 * width)
        self.self_attention = FusedAttention(width, heads, self.eps)
        self.cross_norm = LayerNorm(width, self.eps)
        self.cross_attention = FusedCrossAttention(width, heads, self.eps)
        self.feed_forward = GatedFeedForward(width, config.hidden)

    def forward(
        self, x: torch.Tensor, times: torch.Tensor, words: Words, place: Turns, look: Look | None, known: int
    ) -> torch.Tensor:
        shift, scale, gate, shift2, scale2, gate2 = self.modulation(times).float().chunk(6, dim=-1)  # b t 1 d
        x = gated(x, gate, self.self_attention(modulate(x, shift, scale, self.eps), place, look))
        if known < x.shape[1]:
            new = x[:, known:]
            x = torch.cat([x[:, :known], new + self.cross_attention(self.cross_norm(new), words)], dim=1)
        return gated(x, gate2, self.feed_forward(modulate(x, shift2, scale2, self.eps)))


class TimesEmbedding(nn.Module):
    """Timestep (b) or (b t) in 0..1000 -> (b t 1 e), for the blocks and the head."""

    def __init__(self, freq_dim: int, width: int):
        super().__init__()
        self.freq_dim = freq_dim
        self.first = nn.Linear(freq_dim, width)
        self.second = nn.Linear(width, width)

    def forward(self, timestep: torch.Tensor) -> torch.Tensor:
        timestep = timestep[:, None, None] if timestep.ndim == 1 else timestep[:, :, None]  # b t 1
        waves = sinusoids(timestep, self.freq_dim).to(self.first.weight.dtype)
        return F.silu(self.second(F.silu(self.first(waves))))


class StatesEmbedding(nn.Module):
    """Text states (b l text_dim), and how many of each are words (b) or None -> Words.

    Where pads are attended to they are zeros behind both products, in place of zeros before them as Wan's are; one
    position stands for all, as in conditions.WordsEmbedding.
    """

    def __init__(self, config: LongCatConfig):
        super().__init__()
        self.text_len, self.pads = config.text_len, config.pads
        self.first = nn.Linear(config.text_dim, config.width)
        self.second = nn.Linear(config.width, config.width)

    def forward(self, text: torch.Tensor, lengths: torch.Tensor | None = None) -> Words:
        states = self.second(F.gelu(self.first(text.to(self.first.weight.dtype)), approximate="tanh"))
        if lengths is None:
            return Words(states, None)
        bias = pad_bias(lengths, 1 + text.shape[1], self.text_len)  # b 1 1 l+1
        if not self.pads:
            return Words(states, bias[..., :-1])
        return Words(F.pad(states, (0, 0, 0, 1)), bias)


class TimedHead(nn.Module):
    """Tokens (b t s d) -> the values of their patches (b t s p*p*c)."""

    def __init__(self, config: LongCatConfig):
        super().__init__()
        self.eps = config.eps
        self.modulation = nn.Linear(config.time_dim, 2 * config.width)
        self.project = nn.Linear(config.width, config.channels * config.patch_side**2)

    def forward(self, x: torch.Tensor, times: torch.Tensor) -> torch.Tensor:
        shift, scale = self.modulation(times).float().chunk(2, dim=-1)  # b t 1 d
        return self.project(modulate(x, shift, scale, self.eps))


class LongCat(Transformer):
    """Velocity of noisy latents (b c t h w).

    known: how many of the first frames are known; their timesteps are 0, they see only themselves, and what comes out
    for them means nothing. sight: a History of the frames before; while it keeps, all frames at hand are known. The
    other arguments as those of Transformer.
    """

    _cp_plan: ClassVar[dict[str, Split | Gather]] = {}  # known frames attend apart
    block_class: ClassVar[type[nn.Module]] = LongCatBlock

    def __init__(self, config: LongCatConfig):
        nn.Module.__init__(self)
        self.config = config
        self.patches = Patches(config.channels, config.patch_side, config.width)
        self.time = TimesEmbedding(config.freq_dim, config.time_dim)
        self.words = StatesEmbedding(config)
        self.blocks = nn.ModuleList(LongCatBlock(config) for _ in range(config.layers))
        self.head = TimedHead(config)

    def forward(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        latents: torch.Tensor,
        timestep: torch.Tensor,
        text: torch.Tensor,
        text_lengths: torch.Tensor | None = None,
        *,
        known: int = 0,
        sight: History | None = None,
        watch: Callable[[int, torch.Tensor], None] | None = None,
    ) -> torch.Tensor:
        grid = self.patches.grid(latents)  # tokens along t, h, w
        x = self.patches(latents)  # b t s d
        times = self.time(timestep)  # b t 1 e
        words = self.words(text, text_lengths)  # b l d
        start = 0 if sight is None else sight.start
        place = turns(grid, self.config.head_dim, latents.device, start=start)  # n c/2
        look = apart(known) if 0 < known < grid[0] else None
        known = grid[0] if sight is not None and sight.keep else known
        for number, block in enumerate(self.blocks):
            x = block(x, times, words, place, look if sight is None else sight.at(number), known)
            if watch is not None:
                watch(number, x)
        if sight is not None:
            sight.done(grid[0])
        # theirs is data less noise
        return -from_patches(self.head(x, times), self.config.patch_side, grid[1])  # b c t h w


def apart(known: int) -> Look:
    """Attention in which the first frames see only themselves, and all others see everything."""

    def look(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, frames: int, attend: Attend) -> torch.Tensor:
        n = q.shape[2] // frames * known
        before = attend(q[:, :, :n], k[:, :, :n], v[:, :, :n])
        return torch.cat([before, attend(q[:, :, n:], k, v)], dim=2)

    return look
