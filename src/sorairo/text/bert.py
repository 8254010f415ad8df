"""BERT's encoder, as little of it as a frozen text encoder needs: importing transformers' costs three seconds."""

# Letters: b batch, l tokens, d width, k heads

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.attention import attention
from sorairo.nn.norm import LayerNorm

__all__ = ["Bert", "BertConfig", "from_bert"]


@dataclass(frozen=True, kw_only=True)
class BertConfig:
    """The keys of a BertModel's config.json that decide its shape, under their names there."""

    vocab_size: int = 30522
    hidden_size: int = 384
    num_hidden_layers: int = 6
    num_attention_heads: int = 12
    intermediate_size: int = 1536
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12


class Layer(nn.Module):
    """Attention, then a feed-forward part, each followed by its norm: (b l d) -> (b l d)."""

    def __init__(self, config: BertConfig):
        super().__init__()
        d, hidden, eps = config.hidden_size, config.intermediate_size, config.layer_norm_eps
        self.heads = config.num_attention_heads
        self.q, self.k, self.v, self.out = nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d), nn.Linear(d, d)
        self.norm1 = LayerNorm(d, eps)
        self.up, self.down = nn.Linear(d, hidden), nn.Linear(hidden, d)
        self.norm2 = LayerNorm(d, eps)

    def forward(self, x: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        q, k, v = (f(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for f in (self.q, self.k, self.v))
        seen = attention(q, k, v, bias).transpose(1, 2).flatten(2)  # b l d
        x = self.norm1(x + self.out(seen))  # b l d
        return self.norm2(x + self.down(F.gelu(self.up(x))))  # b l d


class Bert(nn.Module):
    """Token ids (b l) -> the last hidden state (b l d).

    lengths: (b), how many of the l are tokens; None: all. What comes out behind them has no meaning.
    Source: Devlin et al. 2019; the same numbers as transformers' BertModel.
    """

    def __init__(self, config: BertConfig):
        super().__init__()
        self.words = nn.Embedding(config.vocab_size, config.hidden_size)
        self.places = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.kinds = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.norm = LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, ids: torch.Tensor, lengths: torch.Tensor | None = None) -> torch.Tensor:
        place = torch.arange(ids.shape[1], device=ids.device)
        bias = None
        if lengths is not None:
            hidden = place >= lengths[:, None]  # b l
            bias = torch.zeros(hidden.shape, device=ids.device).masked_fill(hidden, -torch.inf)[:, None, None]
        x = self.norm(self.words(ids) + self.places(place) + self.kinds.weight[0])  # b l d
        for layer in self.layers:
            x = layer(x, bias)
        return x


# (theirs, ours), in this order
NAMES = [
    (r"^bert\.", ""),
    (r"^embeddings\.word_embeddings\.", "words."),
    (r"^embeddings\.position_embeddings\.", "places."),
    (r"^embeddings\.token_type_embeddings\.", "kinds."),
    (r"^embeddings\.LayerNorm\.", "norm."),
    (r"^encoder\.layer\.", "layers."),
    (r"\.attention\.self\.query\.", ".q."),
    (r"\.attention\.self\.key\.", ".k."),
    (r"\.attention\.self\.value\.", ".v."),
    (r"\.attention\.output\.dense\.", ".out."),
    (r"\.attention\.output\.LayerNorm\.", ".norm1."),
    (r"\.intermediate\.dense\.", ".up."),
    (r"\.output\.dense\.", ".down."),
    (r"\.output\.LayerNorm\.", ".norm2."),
]


def from_bert(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A BertModel's tensors under our names, without its pooler and its table of positions."""
    ours = {}
    for name, tensor in tensors.items():
        for pattern, replacement in NAMES:
            name = re.sub(pattern, replacement, name)
        if not name.startswith("pooler.") and name != "embeddings.position_ids":
            ours[name] = tensor
    return ours
