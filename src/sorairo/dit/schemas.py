"""The configuration files of a DiT's folder: their keys, types and bounds.

Bounds are several times what any published model has, so that a damaged or hostile file cannot ask for a network that
takes for ever to build. Sources: the constructors of DiTTransformer2DModel, AutoencoderKL, DDIMScheduler and
DDPMScheduler (diffusers 0.36).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sorairo.config import Schema

__all__ = ["BetasFile", "DiTFile", "KLImageFile"]

Depth = Annotated[int, Field(ge=1, le=256)]
Channels = Annotated[int, Field(ge=1, le=4096)]
Width = Annotated[int, Field(ge=1, le=1 << 14)]


class DiTFile(Schema):
    """transformer/config.json of DiTTransformer2DModel. Other keys are compared one by one in names.py."""

    in_channels: Channels
    out_channels: Channels | None = None
    sample_size: Annotated[int, Field(ge=1, le=1024)]
    patch_size: Annotated[int, Field(ge=1, le=64)]
    num_layers: Depth
    num_attention_heads: Depth
    attention_head_dim: Annotated[int, Field(ge=1, le=1024)]
    num_embeds_ada_norm: Annotated[int, Field(ge=1, le=1 << 20)]
    norm_eps: Annotated[float, Field(gt=0, le=0.1)] = 1e-5


class KLImageFile(Schema):
    """vae/config.json of AutoencoderKL."""

    block_out_channels: Annotated[list[Width], Field(min_length=1, max_length=8)]
    down_block_types: list[str]
    up_block_types: list[str]
    layers_per_block: Annotated[int, Field(ge=1, le=16)]
    latent_channels: Channels
    norm_num_groups: Annotated[int, Field(ge=1, le=4096)]
    scaling_factor: Annotated[float, Field(gt=0, le=1e4)] = 0.18215


class BetasFile(Schema):
    """scheduler/scheduler_config.json of DDIMScheduler and DDPMScheduler."""

    num_train_timesteps: Annotated[int, Field(ge=1, le=100_000)] = 1000
    beta_start: Annotated[float, Field(gt=0, lt=1)] = 0.0001
    beta_end: Annotated[float, Field(gt=0, lt=1)] = 0.02
    steps_offset: Annotated[int, Field(ge=0, le=1000)] = 0
    clip_sample: bool = True
    clip_sample_range: Annotated[float, Field(gt=0, le=1e4)] = 1.0
    set_alpha_to_one: bool = True
    beta_schedule: str = "linear"
    prediction_type: str = "epsilon"
    variance_type: str = "fixed_small"
    timestep_spacing: str = "leading"
