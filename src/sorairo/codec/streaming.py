"""Decoding in pieces: the same result as at once, in memory that does not grow with the clip.

Every layer remembers what it needs of the past in a TimeCache; nothing looks ahead, so nothing has to be blended.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from sorairo.codec.model import Codec
from sorairo.nn.causal_conv import TimeCache

__all__ = ["decode_stream"]


@torch.no_grad()
def decode_stream(codec: Codec, latents: Tensor, step: int = 1) -> Iterator[Tensor]:
    """Pixels of `step` latent frames at a time: b z t' h' w' -> b 3 t h w; the first piece is three frames shorter."""
    cache = TimeCache()
    for piece in latents.split(step, dim=2):
        yield codec.decode(piece, cache)
