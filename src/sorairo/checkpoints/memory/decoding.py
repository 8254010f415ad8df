"""What decoding needs in memory: a clip that goes through in pieces of one latent frame is told from its first three.

Every later piece needs what the third does, so the dry run of a long clip takes as long as one of a short one.
"""

# Letters: z latent channels, t h w latent grid

from __future__ import annotations

from functools import partial

import torch

from sorairo.checkpoints.memory.working import meta, working_memory
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.norm import BLOCK, ChannelRMSNorm
from sorairo.nn.causal_conv import TimeCache

__all__ = ["decoding_memory"]

STEADY = 3
"""The piece from which on all are alike: the first has no past, the second a short one."""


def decoding_memory(
    config: CodecConfig, latents: tuple[int, int, int, int], dtype: torch.dtype
) -> tuple[int, int]:
    """(bytes that decoding latents (z t h w) holds at its worst moment beside the weights, the same with `lean`)."""
    if latents[1] > STEADY and _one_by_one(config, latents):
        return _by_pieces(config, latents, dtype)

    def decode(model: Codec) -> torch.Tensor:
        return model.decode(torch.zeros(1, *latents, dtype=dtype))

    whole = working_memory(shell(config), decode, dtype)
    if latents[1] <= STEADY:
        return whole, working_memory(shell(config, lean=True), decode, dtype)
    return whole, _by_pieces(config, latents, dtype)[1]


def shell(config: CodecConfig, *, lean: bool = False) -> Codec:
    """A codec without numbers, whose norms take one block of a picture's thousands: each needs the same."""
    codec = meta(lambda: Codec(config, lean=lean))
    for part in codec.modules():
        if isinstance(part, ChannelRMSNorm):
            part.in_blocks = partial(_first_block, part)
    return codec


def _first_block(norm: ChannelRMSNorm, rows: torch.Tensor) -> torch.Tensor:
    made = torch.empty_like(rows)
    norm.kernel(rows[: max(1, BLOCK // rows.shape[-1])], norm.weight)
    return made


def _one_by_one(config: CodecConfig, latents: tuple[int, int, int, int]) -> bool:
    """Whether a codec that is not lean takes one latent frame after another too, for the size of its clip."""
    _, t, h, w = latents
    frames = 1 + (t - 1) * config.time_factor
    places = frames * h * w * config.space_factor**2
    with torch.no_grad():
        step = shell(config).frames_at_once(places, frames)
    return 0 < step <= config.time_factor


def _by_pieces(
    config: CodecConfig, latents: tuple[int, int, int, int], dtype: torch.dtype
) -> tuple[int, int]:
    """The same where both go latent by latent.

    Either holds its input, what it has made of the video, and what a piece needs. One that is not lean puts the pieces
    together in the end, when they and the whole are there, and its caches.
    """
    z, t, h, w = latents
    cache = TimeCache()

    def pieces(model: Codec) -> None:
        for piece in torch.zeros(1, z, STEADY, h, w, dtype=dtype).split(1, dim=2):
            model.decode(piece, cache)

    piece = working_memory(shell(config), pieces, dtype)
    inputs = z * h * w * dtype.itemsize  # of a latent frame
    frame = 3 * h * w * config.space_factor**2 * dtype.itemsize
    video = frame * (1 + config.time_factor * (t - 1))
    later = (t - STEADY) * inputs
    joined = 2 * video + 2 * t * inputs + cache.nbytes()
    last = frame * config.time_factor  # a lean one still holds a piece while the next is made
    return max(piece + later + t * inputs + video - last, joined), piece + later + video + last
