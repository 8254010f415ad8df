"""Names and configuration of the authors' own umT5 weights (models_t5_...) <-> transformers' UMT5EncoderModel; pure.

Source: github.com/Wan-Video/Wan2.1, wan/modules/t5.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sorairo.checkpoints.adapters.wan import rename
from sorairo.types import UserError

__all__ = ["from_original", "from_original_config", "original_names", "to_original"]

# (transformers', the authors')
NAMES = [
    ("shared.weight", "token_embedding.weight"),
    ("encoder.final_layer_norm.", "norm."),
    ("encoder.block.{}.layer.0.layer_norm.", "blocks.{}.norm1."),
    ("encoder.block.{}.layer.0.SelfAttention.relative_attention_bias.", "blocks.{}.pos_embedding.embedding."),
    ("encoder.block.{}.layer.0.SelfAttention.", "blocks.{}.attn."),
    ("encoder.block.{}.layer.1.layer_norm.", "blocks.{}.norm2."),
    ("encoder.block.{}.layer.1.DenseReluDense.wi_0.", "blocks.{}.ffn.gate.0."),
    ("encoder.block.{}.layer.1.DenseReluDense.wi_1.", "blocks.{}.ffn.fc1."),
    ("encoder.block.{}.layer.1.DenseReluDense.wo.", "blocks.{}.ffn.fc2."),
]
BACK = [(theirs, name) for name, theirs in NAMES]


def from_original(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' tensors under transformers' names."""
    return {rename(name, BACK): tensor for name, tensor in tensors.items()}


def to_original(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The inverse of from_original; the words' table, which may be there twice, once."""
    twice = {"encoder.embed_tokens.weight": "shared.weight"}
    return {rename(twice.get(name, name), NAMES): tensor for name, tensor in tensors.items()}


def original_names(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes by transformers' names -> by the authors'."""
    return {rename(name, NAMES): shape for name, shape in shapes.items()}


def from_original_config(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    """The values of transformers' config.json, by the shapes of the authors' tensors. Raises UserError."""
    try:
        buckets, heads = shapes["blocks.0.pos_embedding.embedding.weight"]
        vocabulary, width = shapes["token_embedding.weight"]
        return {
            "architectures": ["UMT5EncoderModel"],
            "model_type": "umt5",
            "vocab_size": vocabulary,
            "d_model": width,
            "d_kv": shapes["blocks.0.attn.q.weight"][0] // heads,
            "d_ff": shapes["blocks.0.ffn.fc1.weight"][0],
            "num_layers": 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks.")),
            "num_heads": heads,
            "relative_attention_num_buckets": buckets,
            "feed_forward_proj": "gated-gelu",
            "tie_word_embeddings": False,
        }
    except (KeyError, ValueError) as error:
        raise UserError(
            f"{where} does not hold umT5's encoder as Wan's authors name it ({error})."
        ) from error
