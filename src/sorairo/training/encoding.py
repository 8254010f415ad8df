"""A model's codec and text encoder for making training data, without its transformer."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sorairo.checkpoints.folder import compute_dtype, find_folder, load_codec_source, open_layout
from sorairo.checkpoints.info import ModelInfo
from sorairo.codec.model import Codec
from sorairo.data.build.make import Encoders
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.manifest import Encoding, fingerprint
from sorairo.text.encoder import TextEncoder
from sorairo.text.umt5 import UMT5Encoder

__all__ = ["Parts", "encoding_of", "load_encoders", "load_parts"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Parts:
    """What data is made with."""

    info: ModelInfo
    codec: Codec
    text: TextEncoder | UMT5Encoder


def load_parts(model: str, dtype: str = "fp32", device: str = "cpu") -> Parts:
    """The codec and the text encoder of a model (a name or a folder). Raises UserError."""
    place = torch.device(device)
    kind = compute_dtype(dtype, place)
    layout = open_layout(find_folder(model))
    beside = torch.float32 if kind == torch.float32 else torch.bfloat16
    codec = load_codec_source(layout.codec, kind).to(place)
    return Parts(info=layout.info, codec=codec, text=layout.text(beside, place, False))


def load_encoders(model: str, dtype: str = "fp32", device: str = "cpu") -> Encoders:
    """The same as functions for `data.build`. Raises UserError."""
    parts = load_parts(model, dtype, device)
    return Encoders(
        latents=clip_encoder(parts.codec), words=words_encoder(parts.text), check=parts.text.tokens
    )


def encoding_of(codec: Codec, text: TextEncoder | UMT5Encoder, info: ModelInfo) -> Encoding:
    """What shards say that they were made with, and what a model must have to be trained on them.

    umT5's 11 GB are told by their size, not by a hash.
    """
    words = fingerprint(text.bert) if isinstance(text, TextEncoder) else f"umt5-{text.width}-{text.nbytes}"
    return Encoding(
        model=info.name,
        codec=fingerprint(codec, codec.config),
        text=words,
        time_factor=codec.config.time_factor,
        space_factor=codec.config.space_factor,
        channels=codec.config.z_dim,
        text_width=text.width,
        fps=info.fps,
    )
