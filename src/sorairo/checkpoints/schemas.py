"""The configuration files of Wan's published folders: their keys, types and bounds.

Bounds are several times what any published model has. They keep a damaged or hostile file from asking for a network
that takes for ever to build. `check_volume` then compares what a file describes with what the weights hold.
Sources: the constructors of WanTransformer3DModel, AutoencoderKLWan and UniPCMultistepScheduler (diffusers 0.36),
UMT5Config and CLIPVisionConfig (transformers 4.57).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from typing import Annotated, ClassVar

from pydantic import Field

from sorairo.checkpoints.headers import Entry
from sorairo.codec.model import CodecConfig
from sorairo.codec.small import SmallDecoderConfig
from sorairo.config import Schema
from sorairo.scenes.model import SceneConfig
from sorairo.transformer.model import TransformerConfig
from sorairo.types import UserError

__all__ = [
    "ClipFile",
    "HeliosFile",
    "IndexFile",
    "LongCatFile",
    "OriginalFile",
    "SceneFile",
    "SchedulerFile",
    "SmallDecoderFile",
    "TransformerFile",
    "UMT5File",
    "VaeFile",
    "check_codec_volume",
    "check_decoder_volume",
    "check_scene_volume",
    "check_transformer_volume",
]

Depth = Annotated[int, Field(ge=1, le=256)]
Width = Annotated[int, Field(ge=1, le=1 << 17)]
Optional = Annotated[int, Field(ge=0, le=1 << 17)] | None
Small = Annotated[float, Field(gt=0, le=0.1)]
Multiples = Annotated[list[Annotated[int, Field(ge=1, le=64)]], Field(min_length=1, max_length=8)]
Statistics = Annotated[list[Annotated[float, Field(ge=-1e4, le=1e4)]], Field(max_length=4096)]
Deviations = Annotated[list[Annotated[float, Field(gt=0, le=1e4)]], Field(max_length=4096)]


class TransformerFile(Schema):
    """transformer/config.json of WanTransformer3DModel."""

    closed: ClassVar[bool] = True
    patch_size: list[Annotated[int, Field(ge=1, le=16)]] = Field(default=[1, 2, 2])
    num_attention_heads: Depth
    attention_head_dim: Annotated[int, Field(ge=2, le=1024, multiple_of=2)]
    in_channels: Width
    out_channels: Optional = None
    text_dim: Width
    freq_dim: Annotated[int, Field(ge=2, le=1 << 14, multiple_of=2)]
    ffn_dim: Width
    num_layers: Depth
    cross_attn_norm: bool
    qk_norm: str | None = None
    eps: Small
    image_dim: Optional = None
    added_kv_proj_dim: Optional = None
    rope_max_seq_len: Width = 1024
    pos_embed_seq_len: Optional = None
    vace_layers: (
        Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(min_length=1, max_length=256)] | None
    ) = None
    vace_in_channels: Width | None = None
    inject_sample_info: bool = False
    num_frame_per_block: Annotated[int, Field(ge=1, le=256)] = 1
    local_blocks: Annotated[int, Field(ge=0, le=16)] = 0
    local_width: Width = 64


class HeliosFile(TransformerFile):
    """transformer/config.json of HeliosTransformer3DModel."""

    rope_dim: (
        Annotated[list[Annotated[int, Field(ge=2, le=1024)]], Field(min_length=3, max_length=3)] | None
    ) = None
    rope_theta: Annotated[float, Field(gt=1, le=1e9)] = 10000.0
    guidance_cross_attn: bool = True
    zero_history_timestep: bool = True
    has_multi_term_memory_patch: bool = True
    is_amplify_history: bool = False
    history_scale_mode: Annotated[str, Field(pattern="^(scalar|per_head)$")] = "per_head"


class LongCatFile(Schema):
    """dit/config.json of LongCatVideoTransformer3DModel. Which kernel attends, and among how many GPUs, is ours to
    choose."""

    closed: ClassVar[bool] = True
    in_channels: Width
    out_channels: Width
    hidden_size: Width
    depth: Depth
    num_heads: Depth
    caption_channels: Width
    mlp_ratio: Annotated[int, Field(ge=1, le=64)]
    adaln_tembed_dim: Width
    frequency_embedding_size: Annotated[int, Field(ge=2, le=1 << 14, multiple_of=2)]
    patch_size: Annotated[list[Annotated[int, Field(ge=1, le=16)]], Field(min_length=3, max_length=3)] = (
        Field(default=[1, 2, 2])
    )
    text_tokens_zero_pad: bool = False
    enable_bsa: bool = False
    bsa_params: dict[str, object] | None = None
    enable_flashattn3: bool = False
    enable_flashattn2: bool = False
    enable_xformers: bool = False
    cp_split_hw: list[int] | None = None


class VaeFile(Schema):
    """vae/config.json of AutoencoderKLWan."""

    closed: ClassVar[bool] = True
    base_dim: Annotated[int, Field(ge=1, le=4096)]
    decoder_base_dim: Annotated[int, Field(ge=1, le=4096)] | None = None
    z_dim: Annotated[int, Field(ge=1, le=4096)]
    dim_mult: Multiples
    num_res_blocks: Annotated[int, Field(ge=1, le=16)]
    attn_scales: list[float] | None = None
    temperal_downsample: Annotated[list[bool], Field(max_length=8)]
    dropout: Annotated[float, Field(ge=0, le=1)] = 0.0
    latents_mean: Statistics
    latents_std: Deviations
    is_residual: bool = False
    in_channels: Width = 3
    out_channels: Width = 3
    patch_size: Annotated[int, Field(ge=1, le=16)] | None = None
    scale_factor_temporal: Width | None = None
    scale_factor_spatial: Width | None = None
    clip_output: bool = True


class SmallDecoderFile(Schema):
    """decoder/config.json, a small decoder beside the codec's own."""

    closed: ClassVar[bool] = True
    z_dim: Annotated[int, Field(ge=1, le=4096)]
    width: Annotated[int, Field(ge=1, le=4096)]
    blocks: Annotated[int, Field(ge=0, le=64)]
    time_factor: Annotated[int, Field(ge=1, le=64)]
    space_factor: Annotated[int, Field(ge=1, le=256)]


class SceneFile(Schema):
    """scene/config.json, what draws the tracks of a clip's objects before the picture."""

    closed: ClassVar[bool] = True
    layers: Annotated[int, Field(ge=1, le=256)]
    heads: Annotated[int, Field(ge=1, le=256)]
    head_dim: Annotated[int, Field(ge=2, le=1024)]
    hidden: Width
    text_dim: Width
    text_len: Annotated[int, Field(ge=1, le=1 << 14)]
    freq_dim: Annotated[int, Field(ge=2, le=4096)]
    width: Width
    side: Annotated[int, Field(ge=1, le=16)]
    frames: Annotated[int, Field(ge=1, le=1000)]
    channels: Annotated[int, Field(ge=1, le=1024)]
    shared: Annotated[int, Field(ge=0, le=1024)]
    time_factor: Annotated[int, Field(ge=1, le=64)]
    space_factor: Annotated[int, Field(ge=1, le=64)]
    steps: Annotated[int, Field(ge=1, le=1000)]
    guidance: Annotated[float, Field(ge=0, le=1000)]
    shift: Annotated[float, Field(gt=0, le=1000)]


class SchedulerFile(Schema):
    """scheduler/scheduler_config.json. What it must be beside the types, `scheduling_of` says."""

    flow_shift: Annotated[float, Field(gt=0, le=1000)] | None = None
    shift: Annotated[float, Field(gt=0, le=1000)] | None = None
    stages: Annotated[int, Field(ge=1, le=6)] = 3
    stage_range: (
        Annotated[list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=7)] | None
    ) = None
    gamma: Annotated[float, Field(gt=0, le=100)] = 1 / 3
    disable_corrector: (
        Annotated[list[Annotated[int, Field(ge=0, le=10_000)]], Field(max_length=10_000)] | None
    ) = None


class IndexFile(Schema):
    """The numbers of model_index.json."""

    boundary_ratio: Annotated[float, Field(gt=0, lt=1)] | None = None
    expand_timesteps: bool = False


class OriginalFile(Schema):
    """config.json of the authors' WanModel; the rest of its shape is read from the tensors."""

    vace_layers: Annotated[list[Annotated[int, Field(ge=0, le=255)]], Field(max_length=256)] | None = None

    num_heads: Depth
    text_len: Annotated[int, Field(ge=1, le=1 << 14)] = 512
    eps: Small = 1e-6


class UMT5File(Schema):
    """text_encoder/config.json of a umT5."""

    d_model: Width
    d_kv: Width
    d_ff: Width
    num_layers: Depth
    num_heads: Depth
    vocab_size: Annotated[int, Field(ge=1, le=1 << 22)]
    relative_attention_num_buckets: Annotated[int, Field(ge=2, le=1024)] = 32
    relative_attention_max_distance: Annotated[int, Field(ge=2, le=1 << 16)] = 128
    dropout_rate: Annotated[float, Field(ge=0, le=1)] = 0.1
    layer_norm_epsilon: Small = 1e-6
    feed_forward_proj: Annotated[str, Field(pattern="^(gated-gelu|gated-silu|gelu|relu)$")] = "gated-gelu"


class ClipFile(Schema):
    """image_encoder/config.json of a CLIP's vision tower."""

    hidden_size: Width
    intermediate_size: Width
    num_hidden_layers: Depth
    num_attention_heads: Depth
    image_size: Annotated[int, Field(ge=1, le=4096)]
    patch_size: Annotated[int, Field(ge=1, le=4096)]


def check_transformer_volume(config: TransformerConfig, entries: Mapping[str, Entry], where: str) -> None:
    """Raise UserError where the weights are too few for a config, before anything is built by it."""
    d = config.width
    layers = config.layers + len(config.control_layers)
    _check_volume(layers * (8 * d * d + 2 * d * config.hidden) + d * config.text_dim, entries, where)


def check_codec_volume(config: CodecConfig, entries: Mapping[str, Entry], where: str) -> None:
    """The same for a codec: 3x3x3 convolutions of each stage, in the encoder and in the decoder."""
    widths = (*config.encoder_widths, *config.decoder_widths)
    _check_volume(sum(27 * width**2 * config.num_res_blocks for width in widths), entries, where)


def check_decoder_volume(config: SmallDecoderConfig, entries: Mapping[str, Entry], where: str) -> None:
    """The same for a small decoder: the convolutions of its blocks."""
    _check_volume(12 * config.width**2 * config.blocks, entries, where)


def check_scene_volume(config: SceneConfig, entries: Mapping[str, Entry], where: str) -> None:
    """The same for a scene's transformer."""
    check_transformer_volume(config.transformer, entries, where)


def _check_volume(least: int, entries: Mapping[str, Entry], where: str) -> None:
    there = sum(prod(entry.shape) for entry in entries.values())
    if least > there:
        raise UserError(
            f"{where} describes a network of at least {least:,} numbers, and its weights are {there:,}; "
            "they do not belong together."
        )
