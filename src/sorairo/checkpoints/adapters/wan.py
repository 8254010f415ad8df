"""Names, shapes, configuration of diffusers' WanTransformer3DModel <-> our Transformer; pure, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from sorairo.transformer.model import TransformerConfig
from sorairo.types import UserError

__all__ = ["from_wan", "from_wan_config", "to_wan", "to_wan_config"]

# (ours, theirs); {} stands for a block's number and whatever follows the name stays
NAMES = [
    ("patches.embed.", "patch_embedding."),
    ("time.first.", "condition_embedder.time_embedder.linear_1."),
    ("time.second.", "condition_embedder.time_embedder.linear_2."),
    ("time.modulation.", "condition_embedder.time_proj."),
    ("words.first.", "condition_embedder.text_embedder.linear_1."),
    ("words.second.", "condition_embedder.text_embedder.linear_2."),
    ("blocks.{}.self_attention.q.", "blocks.{}.attn1.to_q."),
    ("blocks.{}.self_attention.k.", "blocks.{}.attn1.to_k."),
    ("blocks.{}.self_attention.v.", "blocks.{}.attn1.to_v."),
    ("blocks.{}.self_attention.out.", "blocks.{}.attn1.to_out.0."),
    ("blocks.{}.self_attention.norm_", "blocks.{}.attn1.norm_"),
    ("blocks.{}.cross_attention.q.", "blocks.{}.attn2.to_q."),
    ("blocks.{}.cross_attention.k.", "blocks.{}.attn2.to_k."),
    ("blocks.{}.cross_attention.v.", "blocks.{}.attn2.to_v."),
    ("blocks.{}.cross_attention.out.", "blocks.{}.attn2.to_out.0."),
    ("blocks.{}.cross_attention.norm_", "blocks.{}.attn2.norm_"),
    ("blocks.{}.cross_norm.", "blocks.{}.norm2."),
    ("blocks.{}.feed_forward.up.", "blocks.{}.ffn.net.0.proj."),
    ("blocks.{}.feed_forward.down.", "blocks.{}.ffn.net.2."),
    ("blocks.{}.table", "blocks.{}.scale_shift_table"),
    ("head.table", "scale_shift_table"),
    ("head.project.", "proj_out."),
]

Tensors = Mapping[str, torch.Tensor]


def _rename(name: str, table: list[tuple[str, str]]) -> str:
    """The name in the second column's words, by the first column's pattern; unknown names stay."""
    for here, there in table:
        found = re.match("^" + re.escape(here).replace(r"\{\}", r"(\d+)"), name)
        if found:
            return there.format(*found.groups()) + name[found.end() :]
    return name


def from_wan(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Their tensors under our names and in our shapes. Names that are not theirs pass through unchanged."""
    ours = {}
    for name, tensor in tensors.items():
        name = _rename(name, [(theirs, mine) for mine, theirs in NAMES])
        if name == "patches.embed.weight":
            tensor = tensor.flatten(1)  # d c 1 p p -> d (c p p)
        elif name.endswith("table"):
            tensor = tensor.squeeze(0)  # 1 rows d -> rows d
        ours[name] = tensor
    return ours


def to_wan(tensors: Tensors, config: TransformerConfig) -> dict[str, torch.Tensor]:
    """The inverse of from_wan."""
    theirs = {}
    for name, tensor in tensors.items():
        if name == "patches.embed.weight":
            tensor = tensor.unflatten(1, (config.channels, 1, config.patch_side, config.patch_side))
        elif name.endswith("table"):
            tensor = tensor.unsqueeze(0)
        theirs[_rename(name, NAMES)] = tensor
    return theirs


def to_wan_config(config: TransformerConfig) -> dict[str, Any]:
    """The config.json that diffusers reads. text_len is not among its keys; sorairo.json has it."""
    return {
        "_class_name": "WanTransformer3DModel",
        "_diffusers_version": "0.36.0",
        "patch_size": [1, config.patch_side, config.patch_side],
        "num_attention_heads": config.heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.channels,
        "out_channels": config.channels,
        "text_dim": config.text_dim,
        "freq_dim": config.freq_dim,
        "ffn_dim": config.hidden,
        "num_layers": config.layers,
        "cross_attn_norm": config.cross_norm,
        "qk_norm": "rms_norm_across_heads",
        "eps": config.eps,
        "rope_max_seq_len": 1024,
    }


def from_wan_config(values: Mapping[str, Any], *, text_len: int, where: str = "config") -> TransformerConfig:
    """Our config from theirs. Raises UserError for a form that we do not have."""
    patch = list(values.get("patch_size", (1, 2, 2)))
    if len(patch) != 3 or patch[0] != 1 or patch[1] != patch[2]:
        raise UserError(f"{where}: patch_size {patch} is not supported; it must be [1, p, p].")
    if values.get("out_channels", values["in_channels"]) != values["in_channels"]:
        raise UserError(
            f"{where}: in_channels and out_channels differ; image-to-video models are not supported."
        )
    for key, only in (("image_dim", None), ("added_kv_proj_dim", None), ("qk_norm", "rms_norm_across_heads")):
        if values.get(key, only) != only:
            raise UserError(f"{where}: {key} = {values[key]!r} is not supported; it must be {only!r}.")
    return TransformerConfig(
        channels=values["in_channels"],
        patch_side=patch[1],
        layers=values["num_layers"],
        heads=values["num_attention_heads"],
        head_dim=values["attention_head_dim"],
        hidden=values["ffn_dim"],
        text_dim=values["text_dim"],
        text_len=text_len,
        freq_dim=values["freq_dim"],
        cross_norm=values["cross_attn_norm"],
        eps=values["eps"],
    )
