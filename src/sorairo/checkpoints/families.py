"""What is particular to a family of transformers: its class, and how its files become ours. One entry for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from sorairo.checkpoints.adapters import helios, wan
from sorairo.checkpoints.schemas import HeliosFile, TransformerFile
from sorairo.config import Schema
from sorairo.transformer.helios import Helios, HeliosConfig
from sorairo.transformer.model import Transformer, TransformerConfig

__all__ = ["Family", "family_named", "family_of"]

Tensors = Mapping[str, torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Family:
    """build: a transformer of a config. schema: of its config.json in diffusers' layout, from_config and to_config:
    that and ours. from_theirs, to_theirs: tensors by diffusers' names and ours."""

    build: Callable[[Any], Transformer]
    schema: type[Schema]
    from_config: Callable[..., TransformerConfig]
    to_config: Callable[[Any], dict[str, Any]]
    from_theirs: Callable[[Tensors], dict[str, torch.Tensor]]
    to_theirs: Callable[[Tensors, Any], dict[str, torch.Tensor]]


WAN = Family(
    build=Transformer,
    schema=TransformerFile,
    from_config=wan.from_wan_config,
    to_config=wan.to_wan_config,
    from_theirs=wan.from_wan,
    to_theirs=wan.to_wan,
)
HELIOS = Family(
    build=Helios,
    schema=HeliosFile,
    from_config=helios.from_helios_config,
    to_config=helios.to_helios_config,
    from_theirs=helios.from_helios,
    to_theirs=helios.to_helios,
)


def family_of(config: TransformerConfig) -> Family:
    """Of our configuration."""
    return HELIOS if isinstance(config, HeliosConfig) else WAN


def family_named(kind: str) -> Family:
    """Of a transformer's class in diffusers."""
    return HELIOS if kind == "HeliosTransformer3DModel" else WAN
