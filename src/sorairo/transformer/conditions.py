"""What the blocks are told besides the tokens: how noisy each frame is, the words, and what given images show."""

# Letters: b batch, t frames (1 where a clip has one time for all), d width, l words, m tokens of given images

from __future__ import annotations

import math
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.norm import LayerNorm
from sorairo.nn.packed import Sequences
from sorairo.types import UserError

__all__ = ["ImageEmbedding", "RateEmbedding", "Time", "TimeEmbedding", "Words", "WordsEmbedding", "sinusoids"]


class Time(NamedTuple):
    """embedding: (b t 1 d). modulation: (b t 1 6 d), shared by all blocks; each adds its own table."""

    embedding: torch.Tensor
    modulation: torch.Tensor


class Words(NamedTuple):
    """states: (b l d). bias: added to the attention scores of each word, (b 1 1 l) float32, or None.

    image: (b m d), the tokens of given images, where the model takes them. sequences: where the tokens of b clips lie
    in one row (nn/packed.py), those of each clip.
    """

    states: torch.Tensor
    bias: torch.Tensor | None
    image: torch.Tensor | None = None
    sequences: Sequences | None = None


def sinusoids(timestep: torch.Tensor, width: int, *, ends: bool = False) -> torch.Tensor:
    """Cosines, then sines of timestep (...) at width/2 geometric frequencies: (... width) float32.

    The frequencies run from 1 towards 1/10000; with `ends` the last one is 1/10000 itself.
    """
    half = width // 2
    pace = torch.exp(
        torch.arange(half, dtype=torch.float32, device=timestep.device) * (-math.log(10000.0) / (half - ends))
    )
    angle = timestep.float().unsqueeze(-1) * pace
    return torch.cat([angle.cos(), angle.sin()], dim=-1)


class TimeEmbedding(nn.Module):
    """Timestep (b) or (b t) in 0..1000 -> Time."""

    def __init__(self, freq_dim: int, width: int):
        super().__init__()
        self.freq_dim = freq_dim
        self.first = nn.Linear(freq_dim, width)
        self.second = nn.Linear(width, width)
        self.modulation = nn.Linear(width, 6 * width)

    def forward(self, timestep: torch.Tensor) -> Time:
        timestep = timestep[:, None, None] if timestep.ndim == 1 else timestep[:, :, None]  # b t 1
        waves = sinusoids(timestep, self.freq_dim).to(self.first.weight.dtype)
        embedding = self.second(F.silu(self.first(waves)))  # b t 1 d
        return Time(embedding, self.modulation(F.silu(embedding)).unflatten(-1, (6, -1)))  # b t 1 6 d


class RateEmbedding(nn.Module):
    """The number of a frame rate -> what it adds to the modulation (6 d).

    Source: SkyReels-V2 (arXiv 2504.13074), whose code names 0 for 16 frames a second and 1 for 24.
    """

    def __init__(self, rates: int, width: int):
        super().__init__()
        self.table = nn.Embedding(rates, width)
        self.first = nn.Linear(width, width)
        self.second = nn.Linear(width, 6 * width)

    def forward(self, rate: int) -> torch.Tensor:
        return self.second(F.silu(self.first(self.table.weight[rate]))).unflatten(-1, (6, -1))  # 6 d


class WordsEmbedding(nn.Module):
    """Text states (b l text_dim), and how many of each are words (b) or None -> Words.

    Wan attends, without a mask, to `text_len` positions; those behind the words are zero. All of
    these have one key and one value, so attending to a single one of them with log(their number) added to its
    score is the same softmax, and costs one position in place of dozens. With lengths None every position
    given counts.
    """

    def __init__(self, text_dim: int, text_len: int, width: int):
        super().__init__()
        self.text_len = text_len
        self.first = nn.Linear(text_dim, width)
        self.second = nn.Linear(width, width)

    def forward(self, text: torch.Tensor, lengths: torch.Tensor | None = None) -> Words:
        bias = None
        if lengths is not None:
            text = F.pad(text, (0, 0, 0, 1))  # b l+1 text_dim: the last stands for all padding
            bias = pad_bias(lengths, text.shape[1], self.text_len)  # b 1 1 l+1
        states = self.second(
            F.gelu(self.first(text.to(self.first.weight.dtype)), approximate="tanh")
        )  # b l d
        return Words(states, bias)


def pad_bias(lengths: torch.Tensor, positions: int, text_len: int) -> torch.Tensor:
    """Score offsets (b 1 1 positions): 0 for words, -inf for what follows, log(pads) at the last."""
    place = torch.arange(positions, device=lengths.device)
    words = torch.zeros(positions, device=lengths.device).masked_fill(place >= lengths[:, None], -math.inf)
    pads = (text_len - lengths[:, None]).float().log()
    return torch.where(place == positions - 1, pads, words)[:, None, None, :]


class ImageEmbedding(nn.Module):
    """Tokens of given images, as a CLIP sees them (b m image_dim) -> (b m d).

    positions: how many tokens there must be, where each has a place of its own (Wan 2.1 for first and last frame:
    two images' tokens); 0: any number. Source: Wan 2025, section 5.1.
    """

    def __init__(self, image_dim: int, positions: int, width: int):
        super().__init__()
        self.positions = nn.Parameter(torch.zeros(positions, image_dim)) if positions else None
        self.norm_in = LayerNorm(image_dim, 1e-5)
        self.first = nn.Linear(image_dim, image_dim)
        self.second = nn.Linear(image_dim, width)
        self.norm_out = LayerNorm(width, 1e-5)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        x = tokens.to(self.first.weight.dtype)
        if self.positions is not None:
            if x.shape[1] != len(self.positions):
                raise UserError("This model goes from a first frame to a last one; give it both.")
            x = x + self.positions  # b m image_dim
        return self.norm_out(self.second(F.gelu(self.first(self.norm_in(x)))))  # b m d
