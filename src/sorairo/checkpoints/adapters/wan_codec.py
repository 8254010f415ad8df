"""Names and shapes of AutoencoderKLWan's weights and config <-> ours. Pure and exact in both directions."""

from __future__ import annotations

import re
from typing import Any

from torch import Tensor

from sorairo.codec.model import CodecConfig
from sorairo.types import UserError

__all__ = ["config_from_wan", "config_to_wan", "state_from_wan", "state_to_wan"]

# ours -> theirs, tried in order; stages are handled apart because Wan 2.1 numbers its encoder's layers in one row.
PARTS = (
    (r"^quant\.", "quant_conv."),
    (r"^post_quant\.", "post_quant_conv."),
    (r"\.middle\.block1\.", ".mid_block.resnets.0."),
    (r"\.middle\.block2\.", ".mid_block.resnets.1."),
    (r"\.middle\.attention\.", ".mid_block.attentions.0."),
    (r"\.shortcut\.", ".conv_shortcut."),
    (r"(norm\w*)\.weight$", r"\1.gamma"),
)


def config_from_wan(values: dict[str, Any]) -> CodecConfig:
    """Their vae/config.json as ours. Raises UserError for what this codec does not do (attention in stages)."""
    if values.get("attn_scales"):
        raise UserError("This codec has attention inside its stages (attn_scales), which is not supported.")
    if values.get("in_channels", 3) not in (3, 3 * (values.get("patch_size") or 1) ** 2):
        raise UserError(f"This codec takes {values['in_channels']} channels; only RGB is supported.")
    return CodecConfig(
        base_dim=values["base_dim"],
        decoder_base_dim=values.get("decoder_base_dim"),
        z_dim=values["z_dim"],
        dim_mult=tuple(values["dim_mult"]),
        num_res_blocks=values["num_res_blocks"],
        halve_time=tuple(values["temperal_downsample"][: len(values["dim_mult"]) - 1]),
        shortcut=values.get("is_residual", False),
        patch_size=values.get("patch_size") or 1,
        latents_mean=tuple(values["latents_mean"]),
        latents_std=tuple(values["latents_std"]),
    )


def config_to_wan(config: CodecConfig) -> dict[str, Any]:
    """Ours as their vae/config.json."""
    patch = config.patch_size
    return {
        "_class_name": "AutoencoderKLWan",
        "base_dim": config.base_dim,
        "decoder_base_dim": config.decoder_base_dim,
        "z_dim": config.z_dim,
        "dim_mult": list(config.dim_mult),
        "num_res_blocks": config.num_res_blocks,
        "attn_scales": [],
        "temperal_downsample": list(config.halve_time),
        "dropout": 0.0,
        "latents_mean": list(config.latents_mean or (0.0,) * config.z_dim),
        "latents_std": list(config.latents_std or (1.0,) * config.z_dim),
        "is_residual": config.shortcut,
        "in_channels": 3 * patch**2,
        "out_channels": 3 * patch**2,
        "patch_size": None if patch == 1 else patch,
        "scale_factor_temporal": config.time_factor,
        "scale_factor_spatial": config.space_factor,
    }


def state_to_wan(state: dict[str, Tensor], config: CodecConfig) -> dict[str, Tensor]:
    """Our state dict under their names and in their shapes."""
    return {name_to_wan(name, config): shape_to_wan(name, value) for name, value in state.items()}


def state_from_wan(state: dict[str, Tensor], config: CodecConfig, names: list[str]) -> dict[str, Tensor]:
    """Their state dict under our names; `names` are ours (`Codec.state_dict()`), and decide what is expected.

    Raises UserError that names a weight that is missing or unknown.
    """
    theirs = {name_to_wan(name, config): name for name in names}
    missing, unknown = sorted(set(theirs) - set(state)), sorted(set(state) - set(theirs))
    if missing or unknown:
        what = f"lacks {missing[0]}" if missing else f"has {unknown[0]}, which its config has no place for"
        raise UserError(f"The codec's weights file {what}; use the weights that belong to this config.json.")
    return {ours: shape_from_wan(ours, state[name]) for name, ours in theirs.items()}


def name_to_wan(name: str, config: CodecConfig) -> str:
    """encoder.stages.0.down.time.weight -> encoder.down_blocks.0.downsampler.time_conv.weight, and so on"""
    name = re.sub(r"\.stages\.(\d+)\.(.+)$", lambda found: stage_to_wan(name, found, config), name)
    for ours, theirs in PARTS:
        name = re.sub(ours, theirs, name)
    return name


def stage_to_wan(name: str, found: re.Match[str], config: CodecConfig) -> str:
    """What follows `encoder` or `decoder` in the name of a stage's weight."""
    stage, rest = int(found[1]), found[2]
    encoder = name.startswith("encoder.")
    part, rest = rest.split(".", 1)
    if part == "blocks":
        index, rest = rest.split(".", 1)
        if encoder and not config.shortcut:
            return f".down_blocks.{stage * (config.num_res_blocks + 1) + int(index)}.{rest}"
        return f".{'down' if encoder else 'up'}_blocks.{stage}.resnets.{index}.{rest}"
    rest = rest.replace("space.", "resample.1.").replace("time.", "time_conv.")
    if encoder:
        if not config.shortcut:
            return f".down_blocks.{stage * (config.num_res_blocks + 1) + config.num_res_blocks}.{rest}"
        return f".down_blocks.{stage}.downsampler.{rest}"
    return f".up_blocks.{stage}.{'upsampler' if config.shortcut else 'upsamplers.0'}.{rest}"


def shape_to_wan(name: str, value: Tensor) -> Tensor:
    """Norms are (c 1 1 1), or (c 1 1) in attention; attention's products are 1x1 convolutions."""
    if ".attention." in name:
        return value[..., None, None] if name.endswith("weight") else value
    return value[:, None, None, None] if is_norm(name) else value


def shape_from_wan(name: str, value: Tensor) -> Tensor:
    """The inverse of `shape_to_wan`."""
    if is_norm(name):
        return value.flatten()
    return value[..., 0, 0] if ".attention." in name and name.endswith("weight") else value


def is_norm(name: str) -> bool:
    """Whether one of our names is a norm's weight."""
    return bool(re.search(r"norm\w*\.weight$", name))
