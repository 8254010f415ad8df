"""Names, shapes, configuration of diffusers' HeliosTransformer3DModel <-> our Helios; pure, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from sorairo.checkpoints.adapters import wan
from sorairo.transformer.helios import HeliosConfig
from sorairo.types import UserError

__all__ = ["from_helios", "from_helios_config", "to_helios", "to_helios_config"]

# (ours, theirs), before those of Wan
NAMES = [
    ("memory.short.", "patch_short."),
    ("memory.mid.", "patch_mid."),
    ("memory.long.", "patch_long."),
    ("blocks.{}.amplify", "blocks.{}.attn1.history_key_scale"),
    ("head.table", "norm_out.scale_shift_table"),
    *wan.NAMES,
]
SCALES = {"memory.short.weight": 1, "memory.mid.weight": 2, "memory.long.weight": 4}
Tensors = Mapping[str, torch.Tensor]


def from_helios(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Their tensors under our names and in our shapes. Names that are not theirs pass through unchanged."""
    made = wan.from_wan(tensors, NAMES)
    return {name: tensor.flatten(1) if name in SCALES else tensor for name, tensor in made.items()}


def to_helios(tensors: Tensors, config: HeliosConfig) -> dict[str, torch.Tensor]:
    """The inverse of from_helios."""
    whole = dict(tensors)
    for name, scale in SCALES.items():
        if name in whole:
            side = scale * config.patch_side
            whole[name] = whole[name].unflatten(1, (config.channels, scale, side, side))
    return wan.to_wan(whole, config, NAMES)


def to_helios_config(config: HeliosConfig) -> dict[str, Any]:
    """The config.json that diffusers reads."""
    side = 2 * (config.head_dim // 6)
    left = ("image_dim", "pos_embed_seq_len", "rope_max_seq_len", "_class_name")
    values = {key: value for key, value in wan.to_wan_config(config).items() if key not in left}
    return {
        "_class_name": "HeliosTransformer3DModel",
        **values,
        "rope_dim": [config.head_dim - 2 * side, side, side],
        "rope_theta": 10000.0,
        "guidance_cross_attn": not config.worded,
        "zero_history_timestep": config.clean,
        "has_multi_term_memory_patch": True,
        "is_amplify_history": config.amplify > 0,
        "history_scale_mode": "scalar" if config.amplify == 1 else "per_head",
    }


def from_helios_config(values: Mapping[str, Any], *, text_len: int, where: str = "config") -> HeliosConfig:
    """Our config from theirs. Raises UserError for a form that we do not have."""
    plain = wan.from_wan_config(values, text_len=text_len, where=where)
    side = 2 * (plain.head_dim // 6)
    axes = list(values.get("rope_dim") or (44, 42, 42))
    only = {
        "rope_dim": (axes, [plain.head_dim - 2 * side, side, side]),
        "rope_theta": (values.get("rope_theta", 10000.0), 10000.0),
        "has_multi_term_memory_patch": (values.get("has_multi_term_memory_patch", True), True),
    }
    for key, (said, possible) in only.items():
        if said != possible:
            raise UserError(f"{where}: {key} is {said!r:.60}; only {possible!r} is supported.")
    each = plain.heads if values.get("history_scale_mode", "per_head") == "per_head" else 1
    return HeliosConfig(
        **vars(plain),
        clean=values.get("zero_history_timestep", True),
        worded=not values.get("guidance_cross_attn", True),
        amplify=each if values.get("is_amplify_history") else 0,
    )
