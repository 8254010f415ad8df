"""Names, shapes and configuration of LongCat-Video's transformer, by its authors, <-> our LongCat; and its LoRAs."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from sorairo.checkpoints.adapters import wan
from sorairo.transformer.longcat import LongCatConfig
from sorairo.types import UserError

__all__ = [
    "CLASS",
    "NAMES",
    "from_longcat",
    "from_longcat_config",
    "plain_lora",
    "to_longcat",
    "to_longcat_config",
]

CLASS = "LongCatVideoTransformer3DModel"
# (ours, theirs), as in wan.NAMES
NAMES = [
    ("patches.embed.", "x_embedder.proj."),
    ("time.first.", "t_embedder.mlp.0."),
    ("time.second.", "t_embedder.mlp.2."),
    ("words.first.", "y_embedder.y_proj.0."),
    ("words.second.", "y_embedder.y_proj.2."),
    ("blocks.{}.modulation.", "blocks.{}.adaLN_modulation.1."),
    ("blocks.{}.self_attention.qkv.", "blocks.{}.attn.qkv."),
    ("blocks.{}.self_attention.out.", "blocks.{}.attn.proj."),
    ("blocks.{}.self_attention.norm_q.", "blocks.{}.attn.q_norm."),
    ("blocks.{}.self_attention.norm_k.", "blocks.{}.attn.k_norm."),
    ("blocks.{}.cross_norm.", "blocks.{}.pre_crs_attn_norm."),
    ("blocks.{}.cross_attention.q.", "blocks.{}.cross_attn.q_linear."),
    ("blocks.{}.cross_attention.kv.", "blocks.{}.cross_attn.kv_linear."),
    ("blocks.{}.cross_attention.out.", "blocks.{}.cross_attn.proj."),
    ("blocks.{}.cross_attention.norm_q.", "blocks.{}.cross_attn.q_norm."),
    ("blocks.{}.cross_attention.norm_k.", "blocks.{}.cross_attn.k_norm."),
    ("blocks.{}.feed_forward.gate.", "blocks.{}.ffn.w1."),
    ("blocks.{}.feed_forward.down.", "blocks.{}.ffn.w2."),
    ("blocks.{}.feed_forward.up.", "blocks.{}.ffn.w3."),
    ("head.modulation.", "final_layer.adaLN_modulation.1."),
    ("head.project.", "final_layer.linear."),
]
ROUND = 256
"""The hidden width of the feed-forward part is a multiple of this, two thirds of mlp_ratio times the width or more."""
HYPHEN = "___lorahyphen___"
Tensors = Mapping[str, torch.Tensor]


def from_longcat(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Their tensors under our names and in our shapes. Names that are not theirs pass through unchanged."""
    return wan.from_wan(tensors, NAMES)


def to_longcat(tensors: Tensors, config: LongCatConfig) -> dict[str, torch.Tensor]:
    """The inverse of from_longcat."""
    return wan.to_wan(tensors, config, NAMES)


def to_longcat_config(config: LongCatConfig) -> dict[str, Any]:
    """Their config.json. It holds no hidden width, but the ratio that it follows from."""
    ratio = next((r for r in range(1, 65) if hidden_of(config.width, r) == config.hidden), None)
    assert ratio is not None, "of a config of theirs"
    return {
        "_class_name": CLASS,
        "_diffusers_version": "0.35.0",
        "in_channels": config.channels,
        "out_channels": config.channels,
        "hidden_size": config.width,
        "depth": config.layers,
        "num_heads": config.heads,
        "caption_channels": config.text_dim,
        "mlp_ratio": ratio,
        "adaln_tembed_dim": config.time_dim,
        "frequency_embedding_size": config.freq_dim,
        "patch_size": [1, config.patch_side, config.patch_side],
        "text_tokens_zero_pad": config.pads,
    }


def from_longcat_config(values: Mapping[str, Any], *, text_len: int, where: str = "config") -> LongCatConfig:
    """Our config from theirs. Raises UserError for a form that we do not have."""
    if values.get("enable_bsa"):
        raise UserError(
            f"{where}: enable_bsa is on: LongCat-Video's block-sparse attention, which its refinement to 720p uses, is"
            " not supported; set it to false for full attention, which it was trained with first."
        )
    patch = list(values.get("patch_size", (1, 2, 2)))
    channels, width, heads = values["in_channels"], values["hidden_size"], values["num_heads"]
    only = {
        "patch_size": (patch, [1, patch[-1], patch[-1]]),
        "out_channels": (values["out_channels"], channels),
        "num_heads": (heads, heads if width % (8 * heads) == 0 else f"a divisor of {width // 8}"),
    }
    for key, (said, possible) in only.items():
        if said != possible:
            raise UserError(f"{where}: {key} is {said!r:.60}; only {possible!r} is supported.")
    return LongCatConfig(
        channels=channels,
        patch_side=patch[-1],
        layers=values["depth"],
        heads=heads,
        head_dim=width // heads,
        hidden=hidden_of(width, values["mlp_ratio"]),
        text_dim=values["caption_channels"],
        text_len=text_len,
        freq_dim=values["frequency_embedding_size"],
        time_dim=values["adaln_tembed_dim"],
        pads=values.get("text_tokens_zero_pad", False),
    )


def hidden_of(width: int, ratio: int) -> int:
    return -(-(2 * width * ratio // 3) // ROUND) * ROUND


def plain_lora(tensors: Tensors, where: str) -> dict[str, torch.Tensor]:
    """A LoRA by their names (lora___lorahyphen___blocks___lorahyphen___0...) as a plain one by modules' names.

    A fused layer has a factor up for each of its products (lora_up.blocks.0, .1, ...), which together are one with
    zeros beside. .alpha_scale is alpha / rank, of one of them. Other files pass through unchanged. Raises UserError for
    the refinement, which is no LoRA for making clips.
    """
    if not any(HYPHEN in name for name in tensors):
        return dict(tensors)
    named = {
        name.removeprefix(f"lora{HYPHEN}").replace(HYPHEN, "."): tensor for name, tensor in tensors.items()
    }
    if any(name.startswith("final_layer.") for name in named):
        raise UserError(
            f"{where} is LongCat-Video's refinement, which makes 720p of a smaller clip with block-sparse attention;"
            " that is not supported. Ask for the size itself, or use sorairo upscale."
        )
    made: dict[str, torch.Tensor] = {}
    parts: dict[str, dict[int, torch.Tensor]] = {}
    for name, tensor in named.items():
        if found := re.fullmatch(r"(.+\.lora_up)\.blocks\.(\d{1,2})\.weight", name):
            parts.setdefault(found[1], {})[int(found[2])] = tensor
        else:
            made[name] = tensor
    for name, each in parts.items():
        ups = [tensor for _, tensor in sorted(each.items())]
        if sorted(each) != list(range(len(ups))) or any(up.ndim != 2 for up in ups):
            raise UserError(f"{where}: {name} is not whole; copy the file again.")
        made[f"{name}.weight"] = torch.block_diag(*(up.float() for up in ups))
    for name in [name for name in made if name.endswith(".alpha_scale")]:
        down = made.get(name.replace(".alpha_scale", ".lora_down.weight"))
        if down is not None:
            made[name.replace(".alpha_scale", ".alpha")] = made.pop(name).float() * len(down)
    return made
