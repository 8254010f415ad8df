"""Names and configuration of the authors' own WanModel <-> our Transformer; pure, both ways.

Shapes are those of diffusers' WanTransformer3DModel (adapters/wan.py). Some files have "model.diffusion_model." before
every name. Source: github.com/Wan-Video/Wan2.1, wan/modules/model.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from sorairo.checkpoints.adapters.wan import from_wan, to_wan
from sorairo.transformer.model import TransformerConfig
from sorairo.types import UserError

__all__ = ["CLASSES", "from_original", "from_original_config", "to_original", "to_original_config"]

PREFIX = "model.diffusion_model."
# (ours, theirs), tried in order
NAMES = [
    ("patches.embed.", "patch_embedding."),
    ("time.first.", "time_embedding.0."),
    ("time.second.", "time_embedding.2."),
    ("time.modulation.", "time_projection.1."),
    ("rate.table.", "fps_embedding."),
    ("rate.first.", "fps_projection.0."),
    ("rate.second.", "fps_projection.2."),
    ("words.first.", "text_embedding.0."),
    ("words.second.", "text_embedding.2."),
    ("image.norm_in.", "img_emb.proj.0."),
    ("image.first.", "img_emb.proj.1."),
    ("image.second.", "img_emb.proj.3."),
    ("image.norm_out.", "img_emb.proj.4."),
    ("image.positions", "img_emb.emb_pos"),
    ("blocks.{}.self_attention.out.", "blocks.{}.self_attn.o."),
    ("blocks.{}.self_attention.", "blocks.{}.self_attn."),
    ("blocks.{}.cross_attention.image.k.", "blocks.{}.cross_attn.k_img."),
    ("blocks.{}.cross_attention.image.v.", "blocks.{}.cross_attn.v_img."),
    ("blocks.{}.cross_attention.image.norm_k.", "blocks.{}.cross_attn.norm_k_img."),
    ("blocks.{}.cross_attention.out.", "blocks.{}.cross_attn.o."),
    ("blocks.{}.cross_attention.", "blocks.{}.cross_attn."),
    ("blocks.{}.cross_norm.", "blocks.{}.norm3."),
    ("blocks.{}.feed_forward.up.", "blocks.{}.ffn.0."),
    ("blocks.{}.feed_forward.down.", "blocks.{}.ffn.2."),
    ("blocks.{}.table", "blocks.{}.modulation"),
    ("head.table", "head.modulation"),
    ("head.project.", "head.head."),
]
# VACE's branch
NAMES += [
    ("control.patches.embed.", "vace_patch_embedding."),
    ("control.enter.", "vace_blocks.0.before_proj."),
    ("control.leave.{}.", "vace_blocks.{}.after_proj."),
    *((f"control.{ours}", f"vace_{theirs}") for ours, theirs in NAMES if ours.startswith("blocks.")),
]
CLASSES = ("WanModel", "VaceWanModel", "CausalWanModel")
"""Of config.json in this layout, those that are read."""


def from_original(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Their tensors under our names and in our shapes. Names that are not theirs pass through unchanged."""
    return from_wan({name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}, NAMES)


def to_original(tensors: Mapping[str, torch.Tensor], config: TransformerConfig) -> dict[str, torch.Tensor]:
    """The inverse of from_original, without the prefix."""
    return to_wan(tensors, config, NAMES)


def to_original_config(config: TransformerConfig) -> dict[str, Any]:
    """The authors' config.json."""
    given = "flf2v" if config.image_positions else "i2v" if config.condition_channels else "t2v"
    control: dict[str, Any] = {}
    if config.control_layers:
        given = "vace"
        control = {"vace_layers": list(config.control_layers), "vace_in_dim": config.control_channels}
    return {
        "_class_name": "VaceWanModel" if config.control_layers else "WanModel",
        "_diffusers_version": "0.30.0",
        "model_type": given,
        "dim": config.width,
        "eps": config.eps,
        "ffn_dim": config.hidden,
        "freq_dim": config.freq_dim,
        "in_dim": config.channels + config.condition_channels,
        "num_heads": config.heads,
        "num_layers": config.layers,
        "out_dim": config.channels,
        "text_len": config.text_len,
        **control,
    }


def from_original_config(
    values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], *, where: str = "config"
) -> TransformerConfig:
    """Our config from theirs and from the shapes of their tensors, which say what theirs leaves to their code.

    Raises UserError where the tensors are not those of a WanModel.
    """
    shapes = {name.removeprefix(PREFIX): shape for name, shape in shapes.items()}
    try:
        width, channels, _, side, _ = shapes["patch_embedding.weight"]
        out = shapes["head.head.weight"][0] // side**2
        features = shapes.get("local.enter.weight", (0,))[0]  # only models of ours have these
        out, channels = out - features, channels - features
        layers = 1 + max(int(name.split(".")[1]) for name in shapes if name.startswith("blocks."))
        return TransformerConfig(
            channels=out,
            condition_channels=channels - out,
            patch_side=side,
            layers=layers,
            heads=values["num_heads"],
            head_dim=width // values["num_heads"],
            hidden=shapes["blocks.0.ffn.0.weight"][0],
            text_dim=shapes["text_embedding.0.weight"][1],
            text_len=values.get("text_len", 512),
            freq_dim=shapes["time_embedding.0.weight"][1],
            cross_norm="blocks.0.norm3.weight" in shapes,
            eps=values.get("eps", 1e-6),
            image_dim=shapes.get("img_emb.proj.0.weight", (0,))[0],
            image_positions=shapes.get("img_emb.emb_pos", (1, 0))[1],
            control_channels=shapes.get("vace_patch_embedding.weight", (0, 0))[1],
            control_layers=_control_layers(values, shapes, layers),
            rates=shapes.get("fps_embedding.weight", (0,))[0],
            local=sum(re.fullmatch(r"local\.down\.\d+\.up\.weight", name) is not None for name in shapes),
            local_width=features or TransformerConfig.local_width,
        )
    except KeyError as error:
        raise UserError(
            f"{where} and its tensors are not those of Wan's own WanModel: {error.args[0]} is missing."
        ) from error
    except (LookupError, ValueError, ZeroDivisionError) as error:
        raise UserError(f"{where} and its tensors are not those of Wan's own WanModel ({error}).") from error


def _control_layers(
    values: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], layers: int
) -> tuple[int, ...]:
    """The layers that VACE's branch gives hints to: as configured, or evenly spread, as in every published one."""
    count = sum(re.fullmatch(r"vace_blocks\.\d+\.after_proj\.weight", name) is not None for name in shapes)
    said = tuple(values.get("vace_layers") or range(0, layers, layers // count) if count else ())
    if len(said) != count or list(said) != sorted(set(said)) or any(not 0 <= one < layers for one in said):
        raise ValueError(f"vace_layers {said} for {count} blocks of control")
    return said
