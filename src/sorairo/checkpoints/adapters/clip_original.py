"""Names, shapes and configuration of the authors' own CLIP weights (models_clip_...) -> transformers' CLIPVisionModel.

The file holds a text tower too, which Wan does not use. Pure. Source: github.com/Wan-Video/Wan2.1, wan/modules/clip.py.
"""

# Letters: n positions, d width

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from sorairo.checkpoints.adapters.wan import rename
from sorairo.types import UserError

__all__ = ["from_original", "from_original_config", "from_transformers_config", "unused"]

HEADS = 16
"""Of ViT-H/14; the tensors do not say."""

# (the authors', transformers' without vision_model.)
NAMES = [
    ("visual.cls_embedding", "embeddings.class_embedding"),
    ("visual.patch_embedding.", "embeddings.patch_embedding."),
    ("visual.pos_embedding", "embeddings.position_embedding.weight"),
    ("visual.pre_norm.", "pre_layrnorm."),
    ("visual.post_norm.", "post_layernorm."),
    ("visual.transformer.{}.norm1.", "encoder.layers.{}.layer_norm1."),
    ("visual.transformer.{}.norm2.", "encoder.layers.{}.layer_norm2."),
    ("visual.transformer.{}.attn.to_qkv.", "encoder.layers.{}.self_attn.qkv."),
    ("visual.transformer.{}.attn.proj.", "encoder.layers.{}.self_attn.out_proj."),
    ("visual.transformer.{}.mlp.0.", "encoder.layers.{}.mlp.fc1."),
    ("visual.transformer.{}.mlp.2.", "encoder.layers.{}.mlp.fc2."),
]


def unused(name: str) -> bool:
    """Whether a tensor is of no use to the vision tower's states."""
    return not name.startswith("visual.") or name == "visual.head"


def from_original(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The authors' tensors under transformers' names; views, so the same bytes."""
    made: dict[str, torch.Tensor] = {}
    for theirs, tensor in tensors.items():
        name = rename(theirs, NAMES)
        if ".self_attn.qkv." in name:  # 3d d -> three of d d
            for part, chunk in zip("qkv", tensor.chunk(3), strict=True):
                made[name.replace(".qkv.", f".{part}_proj.")] = chunk
        elif theirs == "visual.cls_embedding":
            made[name] = tensor.flatten()  # 1 1 d -> d
        elif theirs == "visual.pos_embedding":
            made[name] = tensor.squeeze(0)  # 1 n d -> n d
        else:
            made[name] = tensor
    return made


def from_original_config(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    """The values of transformers' config.json, by the shapes of the authors' tensors. Raises UserError."""
    try:
        width, _, patch, _ = shapes["visual.patch_embedding.weight"]
        positions = shapes["visual.pos_embedding"][1]
        if width % HEADS:
            raise ValueError(f"a width of {width} for {HEADS} heads")
        layers = [int(name.split(".")[2]) for name in shapes if name.startswith("visual.transformer.")]
        return {
            "hidden_size": width,
            "intermediate_size": shapes["visual.transformer.0.mlp.0.weight"][0],
            "num_hidden_layers": 1 + max(layers),
            "num_attention_heads": HEADS,
            "patch_size": patch,
            "image_size": patch * math.isqrt(positions - 1),
            "hidden_act": "gelu",
        }
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{where} does not hold the CLIP as Wan's authors name it ({error}).") from error


def from_transformers_config(shapes: Mapping[str, tuple[int, ...]], where: str) -> dict[str, Any]:
    """The same by the shapes of transformers' CLIPVisionModel. Raises UserError."""
    under = "vision_model."
    try:
        width, _, patch, _ = shapes[f"{under}embeddings.patch_embedding.weight"]
        positions = shapes[f"{under}embeddings.position_embedding.weight"][0]
        if width % HEADS:
            raise ValueError(f"a width of {width} for {HEADS} heads")
        layers = [int(name.split(".")[3]) for name in shapes if name.startswith(f"{under}encoder.layers.")]
        return {
            "hidden_size": width,
            "intermediate_size": shapes[f"{under}encoder.layers.0.mlp.fc1.weight"][0],
            "num_hidden_layers": 1 + max(layers),
            "num_attention_heads": HEADS,
            "patch_size": patch,
            "image_size": patch * math.isqrt(positions - 1),
            "hidden_act": "gelu",
        }
    except (KeyError, ValueError, IndexError) as error:
        raise UserError(f"{where} does not hold the CLIP as transformers names it ({error}).") from error
