"""Encoding and decoding in pieces: the same result as at once, in memory that does not grow with the clip.

Every layer remembers what it needs of the past in a TimeCache; nothing looks ahead, so nothing has to be blended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from sorairo.codec.model import Codec
from sorairo.nn.causal_conv import TimeCache

__all__ = ["InPieces", "decode_stream", "encode_stream"]


@torch.no_grad()
def encode_stream(codec: Codec, pieces: Iterable[Tensor]) -> Iterator[Tensor]:
    """Latents piece by piece: the first piece b 3 (1+4k) h w -> b z (1+k) h' w', later ones b 3 4k h w -> b z k h' w'.

    Raises UserError when a piece's frames do not fit.
    """
    cache = TimeCache()
    for piece in pieces:
        yield codec.encode(piece, cache)


@torch.no_grad()
def decode_stream(codec: Codec, latents: Tensor, step: int = 1) -> Iterator[Tensor]:
    """Pixels of `step` latent frames at a time: b z t' h' w' -> b 3 t h w; the first piece is three frames shorter."""
    cache = TimeCache()
    for piece in latents.split(step, dim=2):
        yield codec.decode(piece, cache)


class InPieces(Codec):
    """The same codec, with the same weights, which decodes one latent frame after another: slower, in less memory."""

    def __init__(self, codec: Codec) -> None:
        nn.Module.__init__(self)
        self.__dict__.update(codec.__dict__)

    def decode(self, latents: Tensor, cache: TimeCache | None = None) -> Tensor:
        """As Codec.decode."""
        if cache is not None:
            return super().decode(latents, cache)
        step, side = self.config.time_factor, self.config.space_factor
        b, _, t, h, w = latents.shape
        video = latents.new_empty(b, 3, 1 + step * (t - 1), side * h, side * w)
        done = 0
        for piece in decode_stream(self, latents):  # b 3 1|step H W
            video[:, :, done : done + piece.shape[2]] = piece
            done += piece.shape[2]
        return video
