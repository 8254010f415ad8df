"""What a model, here or not yet here, needs: parameters, and memory by size and length."""

# Letters: b batch, c channels, t h w latent grid, l words

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sorairo.checkpoints.families import FAMILIES as OWN
from sorairo.checkpoints.families import PUBLISHED, family_of
from sorairo.checkpoints.folder import open_layout, read_json
from sorairo.checkpoints.headers import Entry, read_header, weight_entries
from sorairo.checkpoints.index import FORCED, SKYREELS, is_longcat
from sorairo.checkpoints.layouts import Layout
from sorairo.checkpoints.memory.decoding import decoding_memory
from sorairo.checkpoints.memory.streaming import HELD
from sorairo.checkpoints.memory.working import (
    Part,
    Stage,
    entries_part,
    folder_parts,
    meta,
    module_part,
    needs,
    working_memory,
)
from sorairo.checkpoints.original import is_original, t5_file
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.presets import PRESETS as CODECS
from sorairo.nn.attention import BLOCK, in_blocks
from sorairo.transformer.block import Attends
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.transformer.presets import PRESETS as TRANSFORMERS
from sorairo.types import UserError

__all__ = [
    "FAMILIES",
    "KNOWN",
    "WORDS",
    "Ask",
    "Blueprint",
    "blueprint",
    "latent_shape",
    "layout_blueprint",
    "video_blueprint",
]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Size, length and number of one computation. size: (width, height) in pixels."""

    size: tuple[int, int]
    frames: int = 1
    count: int = 1

    def __str__(self) -> str:
        width, height = self.size
        many = f"{self.count} of " if self.count > 1 else ""
        long = f", {self.frames} frames" if self.frames > 1 else ""
        return f"{many}{width}x{height}{long}"


@dataclass(frozen=True, kw_only=True, eq=False)
class Blueprint:
    """A model's shapes, without the model. asks: usual ones. stages: of one computation, in a dtype.

    configs: of the transformer and of the codec.
    """

    configs: tuple[Any, Any]
    parts: tuple[Part, ...]
    asks: tuple[Ask, ...]
    stages: Callable[[Ask, torch.dtype], list[Stage]]

    def needs(self, ask: Ask, dtype: torch.dtype, *, int8: bool = False) -> tuple[int, int]:
        """(bytes with all weights kept, bytes with each stage's weights freed after it)."""
        return needs(self.parts, self.stages(ask, dtype), dtype, int8=int8)


def blueprint(
    name: str,
    folder: Path | None,
    *,
    families: Mapping[str, Callable[[Path], Blueprint]] | None = None,
    known: Mapping[str, Callable[[], Blueprint]] | None = None,
) -> Blueprint:
    """Of the model in a folder, or, where that is None, of a published one.

    families: by the class that model_index.json names; known: by the published name; by default Wan's. Raises UserError
    for any other.
    """
    families, known = families or FAMILIES, known or KNOWN
    if folder is None:
        if name not in known:
            raise UserError(f"{name} is not on this machine; get it with: sorairo models pull {name}")
        return known[name]()
    if is_original(folder):
        return read_video_folder(folder)
    if is_longcat(folder):
        return read_video_folder(folder)
    kind = str(read_json(folder / "model_index.json").get("_class_name"))
    if kind not in families:
        raise UserError(
            f"{folder} is a {kind}; the memory that it needs is known only for {', '.join(families)}."
        )
    return families[kind](folder)


def one_head(transformer: Transformer) -> Transformer:
    """The same, whose attention takes one head and one block of queries after another only once: each needs the same,
    and a large clip has a hundred thousand."""

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        made = torch.empty_like(q)
        in_blocks(q[:1, :1, :BLOCK], k[:1, :1], v[:1, :1])
        return made

    for module in transformer.modules():
        if isinstance(module, Attends):
            module.blocks = attend
    return transformer


def video_blueprint(
    config: TransformerConfig,
    codec: CodecConfig,
    text: Part,
    asks: Sequence[Ask],
    *,
    experts: int = 1,
    vision: Part | None = None,
    saved: Mapping[str, str | None] | None = None,
) -> Blueprint:
    """Of Wan's family. text: its text encoder. experts: transformers that take turns (2 in Wan 2.2 A14B). vision: what
    it sees pictures with, where it does."""
    saved = saved or {}
    names = ("transformer", "transformer_2")[:experts]

    def stages(ask: Ask, dtype: torch.dtype) -> list[Stage]:
        latent_shape(ask, config, codec)  # raises
        window = family_of(config).window
        ask = replace(ask, frames=min(ask.frames, window or ask.frames))
        latents = latent_shape(ask, config, codec)
        few = replace(config, layers=min(2, config.layers))  # all blocks need the same
        family = family_of(few)
        few = family.one_head(few)
        few = replace(few, control_layers=tuple(n for n in config.control_layers if n < few.layers))

        def denoise(model: Transformer) -> torch.Tensor:
            length = min(WORDS, config.text_len)
            words = torch.zeros(2, length, config.text_dim, dtype=dtype)  # with guidance
            given = family.inputs(latents, dtype)
            if config.condition_channels:
                given["condition"] = torch.zeros(1, config.condition_channels, *latents[1:], dtype=dtype)
            if config.control_layers:
                given["control"] = torch.zeros(1, config.control_channels, *latents[1:], dtype=dtype)
            if config.image_dim:
                given["image"] = torch.zeros(1, config.image_positions or 257, config.image_dim, dtype=dtype)
            lengths = torch.full((2,), length)
            return model(torch.zeros(2, *latents, dtype=dtype), torch.zeros(2), words, lengths, **given)

        work = working_memory(one_head(meta(lambda: family.build(few))), denoise, dtype)
        work += family.held(config, latents, dtype)
        last, less = decoding_memory(codec, latents, dtype)
        return [
            Stage(name="text", parts=(text.name,), working=0),
            *([Stage(name="vision", parts=(vision.name,), working=0)] if vision else []),
            *(Stage(name=name, parts=(name,), working=work) for name in names),
            Stage(name="decode", parts=("vae",), working=last, in_pieces=less),
        ]

    parts = (
        text,
        *([vision] if vision else []),
        *(transformer_part(name, config, saved.get(name)) for name in names),
        module_part("vae", meta(lambda: Codec(codec)), saved.get("vae")),
    )
    return Blueprint(configs=(config, codec), parts=parts, asks=tuple(asks), stages=stages)


WORDS = 128
"""Tokens of a usual prompt, which attention to words needs memory for."""


def transformer_part(name: str, config: TransformerConfig, dtype: str | None) -> Part:
    """A transformer, counted in one of as few blocks as are held where they are streamed: all have as many weights."""
    small = replace(config, layers=min(HELD, config.layers))
    few = meta(lambda: family_of(small).build(small))
    held = sum(p.numel() for p in few.parameters())
    block = sum(p.numel() for p in few.blocks[0].parameters())
    parameters = held + max(0, config.layers - HELD) * block
    return Part(name=name, parameters=parameters, dtype=dtype, streamed=held)


def latent_shape(ask: Ask, config: TransformerConfig, codec: CodecConfig) -> tuple[int, int, int, int]:
    """(c t h w) of the latents. Raises UserError for a size or length off the grid, and for several at once."""
    step, (width, height) = codec.space_factor * config.patch_side, ask.size
    if width % step or height % step or (ask.frames - 1) % codec.time_factor or ask.count != 1:
        raise UserError(
            f"{ask} does not fit this model: one clip, its sides multiples of {step}, its frames 1 +"
            f" {codec.time_factor}k."
        )
    t = 1 + (ask.frames - 1) // codec.time_factor
    return config.channels, t, height // codec.space_factor, width // codec.space_factor


def read_video_folder(folder: Path) -> Blueprint:
    """Of a folder of Wan's family; the sizes are those of sorairo.json, or else the family's usual ones."""
    return layout_blueprint(open_layout(folder))


def layout_blueprint(found: Layout) -> Blueprint:
    """Of a model of Wan's family in whichever layout."""
    folder = found.folder
    config, codec = found.transformers[0].config, found.codec.config
    beside = {part.name: part for part in folder_parts(folder)}
    transformers = [entries_part("", part.entries) for part in found.transformers]
    names: tuple[str, ...] = ("transformer", "transformer_2")
    saved = {name: part.dtype for name, part in zip(names, transformers, strict=False)}
    asks: Sequence[Ask] = WAN22 if codec.patch_size > 1 else WAN21
    if (folder / "sorairo.json").is_file():
        lengths = (1, found.info.default_frames, found.info.max_frames)
        asks = [Ask(size=found.info.sizes[0], frames=frames) for frames in lengths]
    plan = video_blueprint(
        config,
        codec,
        text_part(folder) if found.text_entries is None else umt5_part(found.text_entries),
        asks,
        experts=len(found.transformers),
        vision=beside.get("image_encoder", CLIP if found.vision else None),
        saved=saved | {"vae": entries_part("vae", found.codec.entries).dtype},
    )
    named = (replace(part, name=name) for name, part in zip(names, transformers, strict=False))
    return with_packed(plan, list(named))


def with_packed(plan: Blueprint, parts: Sequence[Part]) -> Blueprint:
    """The blueprint with what stays packed of the parts of those names."""
    by_name = {part.name: part for part in parts}

    def held(part: Part) -> Part:
        own = by_name.get(part.name, part)
        return replace(part, packed=own.packed, packed_bytes=own.packed_bytes, largest=own.largest)

    return replace(plan, parts=tuple(map(held, plan.parts)))


def text_part(folder: Path) -> Part:
    """The text encoder of a folder of Wan's family, in either layout. Of umT5 the blocks can be streamed."""
    where = t5_file(folder)
    if where is None and not (folder / "text_encoder").is_dir():
        return UMT5
    entries = read_header(where) if where else weight_entries(folder / "text_encoder")
    if where is None and read_json(folder / "text_encoder" / "config.json").get("model_type") != "umt5":
        return entries_part("text_encoder", entries)
    return umt5_part(entries)


def umt5_part(entries: Mapping[str, Entry]) -> Part:
    """umT5 by its tensors, under whichever names. Its blocks can be streamed."""
    # the words' table may be there under two names
    entries = {name: entry for name, entry in entries.items() if name != "encoder.embed_tokens.weight"}
    part, blocks = entries_part("text_encoder", entries), Counter[int]()
    for name, entry in entries.items():
        if found := re.match(r"(?:encoder\.block|blocks|enc\.blk)\.(\d+)\.", name):
            blocks[int(found[1])] += entry.numel
    away = sum(count for block, count in blocks.items() if block >= HELD)
    return replace(part, streamed=part.parameters - away)


FAMILIES: dict[str, Callable[[Path], Blueprint]] = {
    "WanPipeline": read_video_folder,
    "WanImageToVideoPipeline": read_video_folder,
    "WanVACEPipeline": read_video_folder,
    "WanCausalDMDPipeline": read_video_folder,
    **dict.fromkeys((*SKYREELS, *FORCED), read_video_folder),
    **dict.fromkeys((name for family in OWN for name in family.pipelines), read_video_folder),
    "WanDMDPipeline": read_video_folder,
}

# umT5-xxl's encoder, and it without 22 of its 24 blocks; the vision tower of CLIP ViT-H/14
UMT5 = Part(name="text_encoder", parameters=5_680_910_336, dtype=None, streamed=1_436_049_408)
CLIP = Part(name="image_encoder", parameters=630_766_080, dtype=None)
WAN21 = (Ask(size=(832, 480), frames=17), Ask(size=(832, 480), frames=81), Ask(size=(1280, 720), frames=81))
WAN22 = (Ask(size=(832, 480), frames=17), Ask(size=(832, 480), frames=121), Ask(size=(1280, 704), frames=121))


def _wan(size: str, *, experts: int = 1, **more: Any) -> Blueprint:
    return _of(replace(TRANSFORMERS[size], **more), experts)


def _of(config: TransformerConfig, experts: int = 1) -> Blueprint:
    later = config.channels == 48
    asks = WAN22 if later else WAN21
    facts = next(iter(family_of(config).pipelines.values()), None)
    if facts:
        asks = (Ask(size=facts["sizes"][0], frames=facts["max_frames"]),)
    return video_blueprint(
        config,
        CODECS["wan2.2" if later else "wan2.1"],
        UMT5,
        asks,
        experts=experts,
        vision=CLIP if config.image_dim else None,
    )


GIVEN = {"condition_channels": 20}
CONTROL = {"control_channels": 96}
SEEN = GIVEN | {"image_dim": 1280}

# Published shapes, so that the needs are known before anything is pulled
KNOWN: dict[str, Callable[[], Blueprint]] = {
    "Wan-AI/Wan2.1-T2V-1.3B-Diffusers": lambda: _wan("wan-1.3b"),
    "Wan-AI/Wan2.1-T2V-14B-Diffusers": lambda: _wan("wan-14b"),
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": lambda: _wan("wan-14b", **SEEN),
    "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers": lambda: _wan("wan-14b", **SEEN),
    "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers": lambda: _wan("wan-14b", **SEEN, image_positions=514),
    "Wan-AI/Wan2.2-TI2V-5B-Diffusers": lambda: _wan("wan-5b"),
    "Wan-AI/Wan2.2-T2V-A14B-Diffusers": lambda: _wan("wan-14b", experts=2),
    "Wan-AI/Wan2.2-I2V-A14B-Diffusers": lambda: _wan("wan-14b", experts=2, **GIVEN),
    "wlsaidhi/SFWan2.1-T2V-1.3B-Diffusers": lambda: _wan("wan-1.3b"),
    **{name: partial(_of, config) for name, config in PUBLISHED.items()},
    "Skywork/SkyReels-V2-DF-1.3B-540P-Diffusers": lambda: _wan("wan-1.3b", rates=2),
    "Skywork/SkyReels-V2-DF-14B-540P-Diffusers": lambda: _wan("wan-14b"),
    "Skywork/SkyReels-V2-DF-14B-720P-Diffusers": lambda: _wan("wan-14b"),
    "Wan-AI/Wan2.1-VACE-1.3B-diffusers": lambda: _wan(
        "wan-1.3b", **CONTROL, control_layers=tuple(range(0, 30, 2))
    ),
    "Wan-AI/Wan2.1-VACE-14B-diffusers": lambda: _wan(
        "wan-14b", **CONTROL, control_layers=tuple(range(0, 40, 5))
    ),
}
