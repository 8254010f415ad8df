"""A checkpoint as it lies on the disk: each part's shape, its tensors, and how their names become ours.

Two layouts are read: diffusers' (here) and the authors' own (original.py). What loads a model, and what writes it in
another layout, starts from a Layout and does not care which it was.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeVar

import torch

from sorairo.checkpoints.adapters import wan, wan_codec, wan_original
from sorairo.checkpoints.encoders import load_text, load_vision
from sorairo.checkpoints.families import family_named, family_of
from sorairo.checkpoints.headers import Entry, weight_entries
from sorairo.checkpoints.hub import store
from sorairo.checkpoints.index import read_index, read_json
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.published import TEXT_LEN, published_info
from sorairo.checkpoints.scaled import with_scales
from sorairo.checkpoints.scheduler import Predicts, scheduling_of
from sorairo.checkpoints.schemas import (
    SceneFile,
    SmallDecoderFile,
    VaeFile,
    check_codec_volume,
    check_decoder_volume,
    check_scene_volume,
    check_transformer_volume,
)
from sorairo.checkpoints.tensors import Adapt
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.small import SmallDecoderConfig
from sorairo.config import Schema, check, from_json
from sorairo.flow.samplers import UNIPC, Sampler
from sorairo.nn.weights import Blank
from sorairo.scenes.model import SceneConfig
from sorairo.text.encoder import TextEncoder
from sorairo.text.umt5 import UMT5Encoder
from sorairo.transformer.model import TransformerConfig
from sorairo.transformer.vision import Vision
from sorairo.types import UserError

__all__ = [
    "Layout",
    "Make",
    "Source",
    "codec_names",
    "codec_source",
    "decoder_source",
    "diffusers_layout",
    "info_of",
    "scene_source",
    "transformer_source",
]

Config = TypeVar("Config")
Make = Callable[[torch.dtype, torch.device, bool], TextEncoder | UMT5Encoder]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source(Generic[Config]):
    """One part of a checkpoint. entries: its tensors, adapt: their names and shapes -> ours. where: for errors."""

    config: Config
    entries: Mapping[str, Entry]
    adapt: Adapt
    where: Path


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """A checkpoint, not yet loaded. transformers: one, or those for high and for low noise, which meet at `boundary`.

    family: the pipeline's class where a folder names it. own_times: each frame has a noise level of its own. times: the
    timesteps of a model of few steps, which adds fresh noise at each; none for one that `sampler` solves, by levels
    that `shift` moves. predicts: what a transformer gives. text, vision: make these encoders in a dtype on a device,
    the first with its blocks left in their files or not; vision is None where the model has none. text_entries: umT5's
    tensors, of a model of single files. notes: sentences on how it was found. decoder: a small
    one that is used in place of the codec's own. scene: what draws where things are before the picture.
    """

    folder: Path
    info: ModelInfo
    transformers: tuple[Source[TransformerConfig], ...]
    boundary: float | None
    codec: Source[CodecConfig]
    shift: float
    own_times: bool
    text: Make
    vision: Callable[[torch.dtype, torch.device], Vision] | None = None
    times: tuple[float, ...] = ()
    predicts: Predicts = "velocity"
    sampler: Sampler = UNIPC
    text_entries: Mapping[str, Entry] | None = None
    notes: tuple[str, ...] = ()
    decoder: Source[SmallDecoderConfig] | None = None
    scene: Source[SceneConfig] | None = None
    family: str = ""

    def __post_init__(self) -> None:
        first, codec = self.transformers[0].config, self.codec.config
        if first.channels != codec.z_dim or first.condition_channels not in (
            0,
            codec.z_dim + codec.time_factor,
        ):
            raise UserError(
                f"{self.folder}: the transformer takes {first.channels} + {first.condition_channels} channels, and the"
                f" codec gives {codec.z_dim}; they do not belong together."
            )
        small = self.decoder.config if self.decoder else None
        if small and (small.z_dim, small.time_factor, small.space_factor) != (
            codec.z_dim,
            codec.time_factor,
            codec.space_factor,
        ):
            raise UserError(f"{self.folder}: decoder/ reads other latents than vae/ makes; remove decoder/.")
        scene = self.scene.config if self.scene else None
        if scene and (scene.width, scene.side, scene.text_dim) != (
            first.width,
            first.patch_side,
            first.text_dim,
        ):
            raise UserError(f"{self.folder}: scene/ is of another transformer; remove scene/.")
        if scene and (scene.channels, scene.time_factor, scene.space_factor) != (
            codec.z_dim,
            codec.time_factor,
            codec.space_factor,
        ):
            raise UserError(f"{self.folder}: scene/ sketches other latents than vae/ makes; remove scene/.")
        if first.control_layers and first.control_channels != 2 * codec.z_dim + codec.space_factor**2:
            raise UserError(
                f"{self.folder}: the transformer takes {first.control_channels} channels of control, and the codec's"
                f" latents and mask are {2 * codec.z_dim + codec.space_factor**2}; they do not belong together."
            )
        if first.image_dim and self.vision is None:
            raise UserError(
                f"{self.folder} is not whole: image_encoder/ is missing; copy the checkpoint again."
            )
        if any(source.config != first for source in self.transformers):
            raise UserError(
                f"{self.folder}: its two transformers differ in shape; they do not belong together."
            )


def diffusers_layout(folder: Path) -> Layout:
    """A folder as WanPipeline saves it. Raises UserError that says what is missing or wrong."""
    index = read_index(folder)
    info = info_of(folder)
    names = [part for part in ("transformer", "transformer_2") if part in index.parts]
    vision = partial(load_vision, folder) if "image_encoder" in index.parts else None
    where = folder / "scheduler" / "scheduler_config.json"
    scheduler = scheduling_of(read_json(where), index.parts["scheduler"], str(where))
    return Layout(
        folder=folder,
        family=index.family,
        info=info,
        transformers=tuple(transformer_source(index.homes[name], info.text_len) for name in names),
        boundary=index.boundary,
        codec=codec_source(folder / "vae"),
        shift=scheduler.shift,
        predicts=scheduler.predicts,
        sampler=family_named(index.family).sampler(scheduler.sampler),
        own_times=index.own_times,
        times=index.times or info.times,
        text=partial(load_text, folder, info.text_len),
        vision=vision,
        decoder=decoder_source(folder / "decoder") if (folder / "decoder").is_dir() else None,
        scene=scene_source(folder / "scene") if (folder / "scene").is_dir() else None,
    )


def info_of(folder: Path) -> ModelInfo:
    """ModelInfo of such a folder: its sorairo.json, or what its configuration tells."""
    own, index = folder / "sorairo.json", read_index(folder)
    if (
        own.is_file() or index.parts["text_encoder"] == "BertModel"
    ):  # no published Wan reads words with a BERT
        return from_json(ModelInfo, own)
    repo = store.repo_of(folder)
    short = {repo: name for name, repo in store.SHORT_NAMES.items()}
    return published_info(
        short.get(repo or "", store.name_of(folder)),
        repo,
        _transformer_config(index.homes["transformer"], TEXT_LEN),
        _codec_config(folder / "vae"),
        experts="transformer_2" in index.parts,
        own_times=index.own_times,
        times=index.times,
        family=index.family,
    )


def transformer_source(folder: Path, text_len: int) -> Source[TransformerConfig]:
    """A transformer/ folder."""
    entries = with_scales(weight_entries(folder))
    entries = {name: entry for name, entry in entries.items() if not wan.unused(name)}
    if any("to_gate_compress" in name for name in entries):
        raise UserError(
            f"{folder} attends sparsely (VSA), which cannot be computed here; take a model with full attention, such as"
            " FastVideo/FastWan2.2-TI2V-5B-FullAttn-Diffusers."
        )
    config = _transformer_config(folder, text_len)
    check_transformer_volume(config, entries, str(folder / "config.json"))
    # files that are packed for other programs have the authors' names
    theirs = any(name.endswith("blocks.0.self_attn.q.weight") for name in entries)
    adapt = wan_original.from_original if theirs else family_of(config).from_theirs
    return Source(config=config, entries=entries, adapt=adapt, where=folder)


def codec_source(folder: Path) -> Source[CodecConfig]:
    """A vae/ folder."""
    config, entries = _codec_config(folder), with_scales(weight_entries(folder))
    check_codec_volume(config, entries, str(folder / "config.json"))
    names = {wan_codec.name_to_wan(name, config): name for name in codec_names(config)}

    def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ours = {names.get(name, name): tensor for name, tensor in tensors.items()}
        return {name: wan_codec.shape_from_wan(name, tensor) for name, tensor in ours.items()}

    return Source(config=config, entries=entries, adapt=adapt, where=folder)


def decoder_source(folder: Path) -> Source[SmallDecoderConfig]:
    """A decoder/ folder: the small decoder of our own models, which diffusers does not know."""
    return _own_source(folder, SmallDecoderFile, SmallDecoderConfig, check_decoder_volume)


def scene_source(folder: Path) -> Source[SceneConfig]:
    """A scene/ folder: what draws the scenes of our own models, which diffusers does not know."""
    return _own_source(folder, SceneFile, SceneConfig, check_scene_volume)


def _own_source(
    folder: Path,
    schema: type[Schema],
    build: Callable[..., Config],
    check_volume: Callable[[Config, Mapping[str, Entry], str], None],
) -> Source[Config]:
    """A part that only our models have: its names are ours."""
    path = folder / "config.json"
    values = read_json(path)
    check(schema, values, where=str(path))
    config, entries = build(**values), weight_entries(folder)
    check_volume(config, entries, str(path))
    return Source(config=config, entries=entries, adapt=dict, where=folder)


def codec_names(config: CodecConfig) -> list[str]:
    """Our names of a codec's tensors."""
    with Blank():
        return list(Codec(config).state_dict())


def _transformer_config(folder: Path, text_len: int) -> TransformerConfig:
    path = folder / "config.json"
    values = read_json(path)
    family = family_named(str(values.get("_class_name")))
    check(family.schema, values, where=str(path))
    return family.from_config(values, text_len=text_len, where=str(path))


def _codec_config(folder: Path) -> CodecConfig:
    path = folder / "config.json"
    values = read_json(path)
    check(VaeFile, values, where=str(path))
    return wan_codec.config_from_wan(values)
