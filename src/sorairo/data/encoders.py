"""The codec and the text encoder as the plain functions that `make_latents` takes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sorairo.pixels import from_levels

if TYPE_CHECKING:
    from sorairo.codec.latent_space import LatentSpace
    from sorairo.codec.model import Codec
    from sorairo.text.encoder import TextEncoder
    from sorairo.text.umt5 import UMT5Encoder

__all__ = ["clip_encoder", "words_encoder"]


def clip_encoder(codec: Codec | LatentSpace) -> Callable[[np.ndarray], Tensor]:
    """uint8 frames (n t h w 3) -> normalised latents (n c t h w), in the dtype of the codec's weights."""
    weight = next(codec.parameters(), torch.zeros(()))

    @torch.inference_mode()
    def encode(frames: np.ndarray) -> Tensor:
        video = torch.from_numpy(frames).permute(0, 4, 1, 2, 3).to(weight.device)  # n 3 t h w
        return codec.encode(from_levels(video).to(weight.dtype)).float().cpu()

    return encode


def words_encoder(
    text: TextEncoder | UMT5Encoder, remember: int = 4096
) -> Callable[[list[str]], tuple[Tensor, Tensor]]:
    """n sentences -> states (n l d) and how many of each are words (n).

    remember: sentences whose states are kept, since short captions recur by the hundred.
    """
    known: OrderedDict[str, Tensor] = OrderedDict()  # sentence -> its states (length d), the latest used last

    @torch.inference_mode()
    def encode(sentences: list[str]) -> tuple[Tensor, Tensor]:
        new = sorted({sentence for sentence in sentences if sentence not in known}, key=len)
        for start in range(0, len(new), 16):  # of about one length, so that little is padding
            some = new[start : start + 16]
            made = text.encode(some)
            for sentence, states, length in zip(some, made.states.cpu(), made.lengths.tolist(), strict=True):
                known[sentence] = states[:length].clone()
        lengths = torch.tensor([len(known[sentence]) for sentence in sentences])
        states = torch.zeros(len(sentences), int(lengths.max()), text.width)
        for row, sentence in enumerate(sentences):
            states[row, : lengths[row]] = known[sentence]
            known.move_to_end(sentence)
        while len(known) > remember:
            known.popitem(last=False)
        return states, lengths

    return encode
