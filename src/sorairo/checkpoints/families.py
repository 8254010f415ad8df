"""What is particular to a family of transformers, one entry for each: its class, how its files become ours, how its
folders are known, and what its authors' code knows by heart."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from sorairo.checkpoints.adapters import helios, longcat, wan
from sorairo.checkpoints.schemas import HeliosFile, LongCatFile, TransformerFile
from sorairo.config import Schema
from sorairo.flow.samplers import Sampler
from sorairo.transformer.helios import CHUNK, MEMORY, Helios, HeliosConfig, Memory
from sorairo.transformer.longcat import CONTEXT, WINDOW, LongCat, LongCatConfig
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.transformer.presets import PRESETS

__all__ = ["FAMILIES", "PUBLISHED", "Family", "family_named", "family_of"]

Tensors = Mapping[str, torch.Tensor]
Shape = tuple[int, int, int, int]


@dataclass(frozen=True, kw_only=True)
class Family:
    """build: a transformer of a config, which is of the class `config`. schema: of its config.json, from_config and
    to_config: that and ours. from_theirs, to_theirs: tensors by its authors' names and ours.

    classes: of its transformer, as folders name it. pipelines: of the whole, each with what ModelInfo says otherwise
    than of a Wan. sampler: its own, from what its scheduler's file says. inputs: what a forward pass takes beside
    latents (c t h w), time and words, in a dtype. held: bytes that stay from step to step for latents of that shape.
    one_head: a config, where one head is counted for all.
    """

    build: Callable[[Any], Transformer]
    config: type[TransformerConfig]
    schema: type[Schema]
    from_config: Callable[..., TransformerConfig]
    to_config: Callable[[Any], dict[str, Any]]
    from_theirs: Callable[[Tensors], dict[str, torch.Tensor]]
    to_theirs: Callable[[Tensors, Any], dict[str, torch.Tensor]]
    classes: tuple[str, ...] = ()
    pipelines: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    sampler: Callable[[Sampler], Sampler] = lambda sampler: sampler
    inputs: Callable[[Shape, torch.dtype], dict[str, Any]] = lambda latents, dtype: {}
    held: Callable[[Any, Shape, torch.dtype], int] = lambda config, latents, dtype: 0
    one_head: Callable[[Any], Any] = lambda config: config

    @property
    def window(self) -> int | None:
        """Frames that are made at once, whatever the clip's length; None where the folder says it."""
        return next((int(facts["max_frames"]) for facts in self.pipelines.values()), None)


WAN = Family(
    build=Transformer,
    config=TransformerConfig,
    schema=TransformerFile,
    from_config=wan.from_wan_config,
    to_config=wan.to_wan_config,
    from_theirs=wan.from_wan,
    to_theirs=wan.to_wan,
)


def _memory(latents: Shape, dtype: torch.dtype) -> dict[str, Any]:
    past = torch.zeros(1, latents[0], 1 + sum(MEMORY), *latents[2:], dtype=dtype)
    return {"memory": Memory(*past.split((1, *MEMORY), dim=2))}


# Source: diffusers' HeliosPipeline. It makes four chunks of 33 frames and returns 129 of the 132
HELIOS_FACTS: dict[str, Any] = {
    "sizes": ((640, 384), (384, 640)),
    "max_frames": 33,
    "default_frames": 129,
    "fps": 24.0,
    "conditioning": ("begin",),
    "chunk": CHUNK,
}
HELIOS = Family(
    build=Helios,
    config=HeliosConfig,
    schema=HeliosFile,
    from_config=helios.from_helios_config,
    to_config=helios.to_helios_config,
    from_theirs=helios.from_helios,
    to_theirs=helios.to_helios,
    classes=("HeliosTransformer3DModel",),
    pipelines={
        "HeliosPipeline": HELIOS_FACTS,
        "HeliosPyramidPipeline": HELIOS_FACTS | {"default_steps": 6, "default_guidance": 1.0},
    },
    inputs=_memory,
    one_head=lambda config: replace(config, amplify=min(1, config.amplify)),
)


def _context(config: LongCatConfig, latents: Shape, dtype: torch.dtype) -> int:
    """Keys and values of the frames that a clip goes on from."""
    tokens = min(latents[1], 1 + (CONTEXT - 1) // 4) * latents[2] * latents[3] // config.patch_side**2
    return 2 * config.layers * tokens * config.width * dtype.itemsize


# Source: its authors' scripts and bucket_config. Wide, tall and square ones of 480p, then of 720p
LONGCAT_SIZES = (
    (832, 480),
    (480, 832),
    (768, 512),
    (512, 768),
    (640, 608),
    (1248, 736),
    (736, 1248),
    (960, 960),
)
LONGCAT = Family(
    build=LongCat,
    config=LongCatConfig,
    schema=LongCatFile,
    from_config=longcat.from_longcat_config,
    to_config=longcat.to_longcat_config,
    from_theirs=longcat.from_longcat,
    to_theirs=longcat.to_longcat,
    classes=(longcat.CLASS,),
    pipelines={
        "LongCatVideoPipeline": {
            "sizes": LONGCAT_SIZES,
            "max_frames": WINDOW,
            "default_frames": WINDOW,
            "fps": 15.0,
            "conditioning": ("begin",),
            "chunk": (WINDOW - CONTEXT) // 4,
            "default_steps": 50,
            "default_guidance": 4.0,
            "zero_star": True,
            "licence": "MIT",
        }
    },
    sampler=lambda sampler: replace(sampler, spacing="longcat", tail=True),
    held=_context,
)
FAMILIES = (WAN, HELIOS, LONGCAT)

PUBLISHED: dict[str, TransformerConfig] = {
    "BestWishYsh/Helios-Base": HeliosConfig(**vars(PRESETS["wan-14b"])),
    "BestWishYsh/Helios-Distilled": HeliosConfig(**vars(PRESETS["wan-14b"])),
    "meituan-longcat/LongCat-Video": LongCatConfig(
        channels=16, layers=48, heads=32, head_dim=128, hidden=11008, text_dim=4096, text_len=512
    ),
}
"""Shapes of those that are no Wan, so that their needs are known before anything is pulled."""


def family_of(config: TransformerConfig) -> Family:
    """Of our configuration."""
    return next(family for family in FAMILIES if family.config is type(config))


def family_named(kind: str) -> Family:
    """Of a transformer's class, or of a pipeline's; Wan's where no other has it."""
    return next((family for family in FAMILIES if kind in family.classes or kind in family.pipelines), WAN)
