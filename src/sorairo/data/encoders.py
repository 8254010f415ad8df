"""The codec and the text encoder as the plain functions that `make_latents` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from sorairo.codec.latent_space import LatentSpace
    from sorairo.codec.model import Codec
    from sorairo.text.encoder import TextEncoder

__all__ = ["clip_encoder", "words_encoder"]


def clip_encoder(codec: Codec | LatentSpace) -> Callable[[np.ndarray], Tensor]:
    """uint8 frames (n t h w 3) -> normalised latents (n c t h w), in the dtype of the codec's weights."""
    weight = next(codec.parameters(), torch.zeros(()))

    @torch.inference_mode()
    def encode(frames: np.ndarray) -> Tensor:
        video = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).to(weight.device)  # n 3 t h w
        return codec.encode((video.float() / 127.5 - 1).to(weight.dtype)).float().cpu()

    return encode


def words_encoder(text: TextEncoder) -> Callable[[list[str]], tuple[Tensor, Tensor]]:
    """n sentences -> states (n l d) and how many of each are words (n)."""

    @torch.inference_mode()
    def encode(sentences: list[str]) -> tuple[Tensor, Tensor]:
        made = text.encode(sentences)
        return made.states.cpu(), made.lengths.cpu()

    return encode
