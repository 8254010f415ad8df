"""Names, shapes, configuration of diffusers' WanTransformer3DModel <-> our Transformer; pure, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from sorairo.transformer.model import TransformerConfig
from sorairo.types import UserError

__all__ = ["NAMES", "class_name", "from_wan", "from_wan_config", "to_wan", "to_wan_config", "unused"]

# (ours, theirs), tried in order; {} stands for a block's number and whatever follows the name stays
NAMES = [
    ("patches.embed.", "patch_embedding."),
    ("time.first.", "condition_embedder.time_embedder.linear_1."),
    ("time.second.", "condition_embedder.time_embedder.linear_2."),
    ("time.modulation.", "condition_embedder.time_proj."),
    ("rate.table.", "fps_embedding."),
    ("rate.first.", "fps_projection.net.0.proj."),
    ("rate.second.", "fps_projection.net.2."),
    ("words.first.", "condition_embedder.text_embedder.linear_1."),
    ("words.second.", "condition_embedder.text_embedder.linear_2."),
    ("image.norm_in.", "condition_embedder.image_embedder.norm1."),
    ("image.first.", "condition_embedder.image_embedder.ff.net.0.proj."),
    ("image.second.", "condition_embedder.image_embedder.ff.net.2."),
    ("image.norm_out.", "condition_embedder.image_embedder.norm2."),
    ("image.positions", "condition_embedder.image_embedder.pos_embed"),
    ("blocks.{}.self_attention.q.", "blocks.{}.attn1.to_q."),
    ("blocks.{}.self_attention.k.", "blocks.{}.attn1.to_k."),
    ("blocks.{}.self_attention.v.", "blocks.{}.attn1.to_v."),
    ("blocks.{}.self_attention.out.", "blocks.{}.attn1.to_out.0."),
    ("blocks.{}.self_attention.norm_", "blocks.{}.attn1.norm_"),
    ("blocks.{}.cross_attention.image.k.", "blocks.{}.attn2.add_k_proj."),
    ("blocks.{}.cross_attention.image.v.", "blocks.{}.attn2.add_v_proj."),
    ("blocks.{}.cross_attention.image.norm_k.", "blocks.{}.attn2.norm_added_k."),
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

# VACE's branch has blocks like the others, and a layer before and behind them
NAMES += [
    ("control.patches.embed.", "vace_patch_embedding."),
    ("control.enter.", "vace_blocks.0.proj_in."),
    ("control.leave.{}.", "vace_blocks.{}.proj_out."),
    *((f"control.{ours}", f"vace_{theirs}") for ours, theirs in NAMES if ours.startswith("blocks.")),
]

VACE_CHANNELS = 96
"""Latents of what is kept and of what is not, 16 each, and the mask's 8 x 8 pixels of a cell."""
PATCHES = ("patches.embed.weight", "control.patches.embed.weight")
QK_NORM = "rms_norm_across_heads"
Tensors = Mapping[str, torch.Tensor]


RATES = 2
"""Frame rates that SkyReels-V2 knows: 16 and 24."""


def rename(name: str, table: Sequence[tuple[str, str]]) -> str:
    """The name in the second column's words, by the first column's pattern; unknown names stay."""
    for here, there in table:
        found = re.match("^" + re.escape(here).replace(r"\{\}", r"(\d+)"), name)
        if found:
            return there.format(*found.groups()) + name[found.end() :]
    return name


def shape_from_wan(name: str, tensor: torch.Tensor) -> torch.Tensor:
    """Their tensor in our shape; a view, so the same bytes. name: ours."""
    if name in PATCHES:
        return tensor.flatten(1)  # d c 1 p p -> d (c p p)
    return tensor.squeeze(0) if _has_batch(name) else tensor  # 1 rows d -> rows d


def shape_to_wan(name: str, tensor: torch.Tensor, config: TransformerConfig) -> torch.Tensor:
    """The inverse of shape_from_wan."""
    if name in PATCHES:
        channels = config.channels + config.condition_channels + config.local_channels
        channels = config.control_channels if name.startswith("control.") else channels
        return tensor.unflatten(1, (channels, 1, config.patch_side, config.patch_side))
    return tensor.unsqueeze(0) if _has_batch(name) else tensor


def _has_batch(name: str) -> bool:
    return name.endswith("table") or name == "image.positions"


def from_wan(tensors: Tensors, names: Sequence[tuple[str, str]] = NAMES) -> dict[str, torch.Tensor]:
    """Their tensors under our names and in our shapes. Names that are not theirs pass through unchanged."""
    back = [(theirs, mine) for mine, theirs in names]
    renamed = {rename(name, back): tensor for name, tensor in tensors.items()}
    return {name: shape_from_wan(name, tensor) for name, tensor in renamed.items()}


def to_wan(
    tensors: Tensors, config: TransformerConfig, names: Sequence[tuple[str, str]] = NAMES
) -> dict[str, torch.Tensor]:
    """The inverse of from_wan."""
    return {rename(name, names): shape_to_wan(name, tensor, config) for name, tensor in tensors.items()}


def unused(name: str) -> bool:
    """Whether a tensor of theirs is one that is computed with nowhere: published I2V folders still hold some."""
    return "norm_added_q" in name


def to_wan_config(config: TransformerConfig) -> dict[str, Any]:
    """The config.json that diffusers reads. text_len is not among its keys; sorairo.json has it."""
    local = {"local_blocks": config.local, "local_width": config.local_width} if config.local else {}
    control: dict[str, Any] = {"inject_sample_info": True} if config.rates else {}
    if config.control_layers:
        control = {"vace_layers": list(config.control_layers), "vace_in_channels": config.control_channels}
    return {
        "_class_name": class_name(config),
        "_diffusers_version": "0.36.0",
        "patch_size": [1, config.patch_side, config.patch_side],
        "num_attention_heads": config.heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.channels + config.condition_channels,
        "out_channels": config.channels,
        "text_dim": config.text_dim,
        "freq_dim": config.freq_dim,
        "ffn_dim": config.hidden,
        "num_layers": config.layers,
        "cross_attn_norm": config.cross_norm,
        "qk_norm": QK_NORM,
        "eps": config.eps,
        "image_dim": config.image_dim or None,
        "added_kv_proj_dim": config.width if config.image_dim else None,
        "pos_embed_seq_len": config.image_positions or None,
        "rope_max_seq_len": 1024,
        **local,
        **control,
    }


def class_name(config: TransformerConfig) -> str:
    """diffusers' class, or ours that diffusers can open (sorairo/diffusers.py) where there are local convolutions."""
    if config.control_layers:
        return "WanVACETransformer3DModel"
    if config.rates:
        return "SkyReelsV2Transformer3DModel"
    return "LocalWanTransformer3DModel" if config.local else "WanTransformer3DModel"


def from_wan_config(values: Mapping[str, Any], *, text_len: int, where: str = "config") -> TransformerConfig:
    """Our config from theirs. Raises UserError for a form that we do not have."""
    patch = list(values.get("patch_size", (1, 2, 2)))
    if len(patch) != 3 or patch[0] != 1 or patch[1] != patch[2]:
        raise UserError(f"{where}: patch_size {patch} is not supported; it must be [1, p, p].")
    channels = values.get("out_channels") or values["in_channels"]
    if values["in_channels"] < channels:
        raise UserError(f"{where}: in_channels is below out_channels, which is not supported.")
    if values.get("qk_norm", QK_NORM) != QK_NORM:
        raise UserError(f"{where}: qk_norm = {values['qk_norm']!r} is not supported; it must be {QK_NORM!r}.")
    layers = tuple(values.get("vace_layers") or ())
    if layers and (
        list(layers) != sorted(set(layers)) or layers[0] != 0 or layers[-1] >= values["num_layers"]
    ):
        raise UserError(
            f"{where}: vace_layers {list(layers)!r:.60} are no rising numbers of layers from 0 on; copy it again."
        )
    config = TransformerConfig(
        channels=channels,
        condition_channels=values["in_channels"] - channels,
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
        image_dim=values.get("image_dim") or 0,
        image_positions=values.get("pos_embed_seq_len") or 0,
        control_channels=(values.get("vace_in_channels") or VACE_CHANNELS) if layers else 0,
        control_layers=layers,
        rates=RATES if values.get("inject_sample_info") else 0,
        local=values.get("local_blocks", 0),
        local_width=values.get("local_width", TransformerConfig.local_width),
    )
    if (values.get("added_kv_proj_dim") or 0) != (config.width if config.image_dim else 0):
        raise UserError(
            f"{where}: added_kv_proj_dim = {values.get('added_kv_proj_dim')!r} is not supported; it must be the width,"
            " or nothing where there is no image_dim."
        )
    return config
