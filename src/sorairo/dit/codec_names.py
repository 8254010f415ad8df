"""Names and configuration of diffusers' AutoencoderKL <-> our KLImage; pure, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from sorairo.config import check
from sorairo.dit.codec import KLImageConfig
from sorairo.dit.schemas import KLImageFile
from sorairo.types import UserError

__all__ = ["from_kl_image", "from_kl_image_config", "kl_image_name", "to_kl_image", "to_kl_image_config"]

# (ours, theirs), applied in order to a whole name; the numbers in it stay
PARTS = [
    (r"^moments\.", "quant_conv."),
    (r"^unmix\.", "post_quant_conv."),
    (r"coder\.first\.", "coder.conv_in."),
    (r"coder\.norm\.", "coder.conv_norm_out."),
    (r"coder\.last\.", "coder.conv_out."),
    (r"\.middle\.0\.", ".mid_block.resnets.0."),
    (r"\.middle\.1\.norm\.", ".mid_block.attentions.0.group_norm."),
    (r"\.middle\.1\.q\.", ".mid_block.attentions.0.to_q."),
    (r"\.middle\.1\.k\.", ".mid_block.attentions.0.to_k."),
    (r"\.middle\.1\.v\.", ".mid_block.attentions.0.to_v."),
    (r"\.middle\.1\.out\.", ".mid_block.attentions.0.to_out.0."),
    (r"\.middle\.2\.", ".mid_block.resnets.1."),
    (r"^encoder\.levels\.(\d+)\.resize\.", r"encoder.down_blocks.\1.downsamplers.0."),
    (r"^decoder\.levels\.(\d+)\.resize\.", r"decoder.up_blocks.\1.upsamplers.0."),
    (r"^encoder\.levels\.(\d+)\.blocks\.", r"encoder.down_blocks.\1.resnets."),
    (r"^decoder\.levels\.(\d+)\.blocks\.", r"decoder.up_blocks.\1.resnets."),
    (r"\.shortcut\.", ".conv_shortcut."),
]
BACK = [
    (r"^quant_conv\.", "moments."),
    (r"^post_quant_conv\.", "unmix."),
    (r"coder\.conv_in\.", "coder.first."),
    (r"coder\.conv_norm_out\.", "coder.norm."),
    (r"coder\.conv_out\.", "coder.last."),
    (r"\.mid_block\.resnets\.0\.", ".middle.0."),
    (r"\.mid_block\.resnets\.1\.", ".middle.2."),
    (r"\.mid_block\.attentions\.0\.group_norm\.", ".middle.1.norm."),
    # the second names are those of files saved before 2023
    (r"\.mid_block\.attentions\.0\.(?:to_q|query)\.", ".middle.1.q."),
    (r"\.mid_block\.attentions\.0\.(?:to_k|key)\.", ".middle.1.k."),
    (r"\.mid_block\.attentions\.0\.(?:to_v|value)\.", ".middle.1.v."),
    (r"\.mid_block\.attentions\.0\.(?:to_out\.0|proj_attn)\.", ".middle.1.out."),
    (r"\.(?:down|up)_blocks\.(\d+)\.(?:down|up)samplers\.0\.", r".levels.\1.resize."),
    (r"\.(?:down|up)_blocks\.(\d+)\.resnets\.", r".levels.\1.blocks."),
    (r"\.conv_shortcut\.", ".shortcut."),
]

Tensors = Mapping[str, torch.Tensor]


def _rename(name: str, table: list[tuple[str, str]]) -> str:
    for here, there in table:
        name = re.sub(here, there, name)
    return name


def kl_image_name(name: str) -> str:
    """Our name of their tensor; names that are not theirs stay as they are."""
    return _rename(name, BACK)


def from_kl_image(tensors: Tensors) -> dict[str, torch.Tensor]:
    """Their tensors under our names. The attention's products may be 1 x 1 convolutions, as in the oldest files."""
    ours = {}
    for theirs, tensor in tensors.items():
        name = kl_image_name(theirs)
        attends = ".middle.1." in name and tensor.ndim == 4
        ours[name] = tensor.flatten(1) if attends else tensor
    return ours


def to_kl_image(tensors: Tensors) -> dict[str, torch.Tensor]:
    """The inverse of from_kl_image, in today's names."""
    return {_rename(name, PARTS): tensor for name, tensor in tensors.items()}


def to_kl_image_config(config: KLImageConfig) -> dict[str, Any]:
    """The config.json that diffusers reads."""
    levels = len(config.widths)
    return {
        "_class_name": "AutoencoderKL",
        "_diffusers_version": "0.36.0",
        "in_channels": 3,
        "out_channels": 3,
        "down_block_types": ["DownEncoderBlock2D"] * levels,
        "up_block_types": ["UpDecoderBlock2D"] * levels,
        "block_out_channels": list(config.widths),
        "layers_per_block": config.blocks,
        "act_fn": "silu",
        "latent_channels": config.latent_channels,
        "norm_num_groups": config.groups,
        "sample_size": 32 * config.factor,
        "scaling_factor": config.scaling,
    }


def from_kl_image_config(values: Mapping[str, Any], *, where: str = "config") -> KLImageConfig:
    """Our config from theirs. Raises UserError for another family and for a form that we do not have."""
    if values.get("_class_name", "AutoencoderKL") != "AutoencoderKL":
        raise UserError(f"{where}: {values['_class_name']} is not Stable Diffusion's image autoencoder.")
    only = {
        "in_channels": 3,
        "out_channels": 3,
        "act_fn": "silu",
        "shift_factor": None,
        "latents_mean": None,
        "latents_std": None,
        "use_quant_conv": True,
        "use_post_quant_conv": True,
        "mid_block_add_attention": True,
    }
    for key, value in only.items():
        if values.get(key, value) != value:
            raise UserError(f"{where}: {key} = {values[key]!r} is not supported; it must be {value!r}.")
    check(KLImageFile, values, where=where)
    try:
        levels = len(values["block_out_channels"])
        for key, only in (("down_block_types", "DownEncoderBlock2D"), ("up_block_types", "UpDecoderBlock2D")):
            if list(values[key]) != [only] * levels:
                raise UserError(f"{where}: {key} must be {levels} times {only}.")
        groups = values["norm_num_groups"]
        if any(width % groups for width in values["block_out_channels"]):
            raise UserError(
                f"{where}: norm_num_groups = {groups} must divide every width of block_out_channels."
            )
        return KLImageConfig(
            latent_channels=values["latent_channels"],
            widths=tuple(values["block_out_channels"]),
            blocks=values["layers_per_block"],
            groups=groups,
            scaling=values.get("scaling_factor", 0.18215),
        )
    except KeyError as error:
        raise UserError(f"{where}: {error.args[0]} is missing, so this is not an AutoencoderKL's.") from error
