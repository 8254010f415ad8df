"""Names, shapes and configuration of diffusers' DiTTransformer2DModel <-> our DiT; pure, both ways."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import torch

from sorairo.config import check
from sorairo.dit.model import DiTConfig
from sorairo.dit.schemas import DiTFile
from sorairo.types import UserError

__all__ = ["dit_name", "from_dit", "from_dit_config", "to_dit", "to_dit_config"]

# (ours, theirs); {} stands for a block's number and whatever follows the name stays
NAMES = [
    ("patches.embed.", "pos_embed.proj."),
    ("blocks.{}.modulation.", "transformer_blocks.{}.norm1.linear."),
    ("blocks.{}.attention.q.", "transformer_blocks.{}.attn1.to_q."),
    ("blocks.{}.attention.k.", "transformer_blocks.{}.attn1.to_k."),
    ("blocks.{}.attention.v.", "transformer_blocks.{}.attn1.to_v."),
    ("blocks.{}.attention.out.", "transformer_blocks.{}.attn1.to_out.0."),
    ("blocks.{}.feed_forward.up.", "transformer_blocks.{}.ff.net.0.proj."),
    ("blocks.{}.feed_forward.down.", "transformer_blocks.{}.ff.net.2."),
    ("modulation.", "proj_out_1."),
    ("project.", "proj_out_2."),
]
# They keep the condition's embedding once in every block, all copies equal; we keep it once.
SHARED = [
    ("condition.first.", "timestep_embedder.linear_1."),
    ("condition.second.", "timestep_embedder.linear_2."),
    ("condition.label.", "class_embedder.embedding_table."),
]
COPY = re.compile(r"transformer_blocks\.\d+\.norm1\.emb\.")

Tensors = Mapping[str, torch.Tensor]


def _rename(name: str, table: list[tuple[str, str]]) -> str:
    for here, there in table:
        found = re.match("^" + re.escape(here).replace(r"\{\}", r"(\d+)"), name)
        if found:
            return there.format(*found.groups()) + name[found.end() :]
    return name


def dit_name(name: str) -> str:
    """Our name of their tensor; the copies of the condition's embedding all have one. Others stay as they are."""
    copy = COPY.match(name)
    if copy:
        return _rename(name[copy.end() :], [(theirs, ours) for ours, theirs in SHARED])
    return _rename(name, [(theirs, ours) for ours, theirs in NAMES])


def from_dit(tensors: Tensors, *, where: str = "checkpoint") -> dict[str, torch.Tensor]:
    """Their tensors under our names and in our shapes. Raises UserError where the blocks' embeddings differ."""
    ours: dict[str, torch.Tensor] = {}
    for theirs, tensor in tensors.items():
        name = dit_name(theirs)
        if name == "patches.embed.weight":
            tensor = tensor.flatten(1)  # d c p p -> d (c p p)
        if name in ours and not (tensor.is_meta or torch.equal(ours[name], tensor)):
            raise UserError(
                f"{where}: {theirs} differs from the other blocks' copy, so this is not a DiT as published;"
                " open it with diffusers instead."
            )
        ours.setdefault(name, tensor)
    return ours


def to_dit(tensors: Tensors, config: DiTConfig) -> dict[str, torch.Tensor]:
    """The inverse of from_dit."""
    theirs: dict[str, torch.Tensor] = {}
    for name, tensor in tensors.items():
        if name.startswith("condition."):
            short = _rename(name, SHARED)
            for block in range(config.layers):
                theirs[f"transformer_blocks.{block}.norm1.emb.{short}"] = tensor
            continue
        if name == "patches.embed.weight":
            tensor = tensor.unflatten(1, (config.channels, config.patch_side, config.patch_side))
        theirs[_rename(name, NAMES)] = tensor
    return theirs


def to_dit_config(config: DiTConfig) -> dict[str, Any]:
    """The config.json that diffusers reads."""
    return {
        "_class_name": "DiTTransformer2DModel",
        "_diffusers_version": "0.36.0",
        "num_attention_heads": config.heads,
        "attention_head_dim": config.head_dim,
        "in_channels": config.channels,
        "out_channels": config.out_channels,
        "num_layers": config.layers,
        "sample_size": config.side,
        "patch_size": config.patch_side,
        "num_embeds_ada_norm": config.classes,
        "attention_bias": True,
        "activation_fn": "gelu-approximate",
        "norm_type": "ada_norm_zero",
        "norm_elementwise_affine": False,
        "norm_eps": config.eps,
    }


def from_dit_config(values: Mapping[str, Any], *, where: str = "config") -> DiTConfig:
    """Our config from theirs, the older class name (Transformer2DModel) included.

    Raises UserError for another family and for a form that we do not have.
    """
    kind = values.get("_class_name", "DiTTransformer2DModel")
    if kind not in ("DiTTransformer2DModel", "Transformer2DModel"):
        raise UserError(f"{where}: {kind} is not a DiT; give the folder of one.")
    only = {
        "norm_type": "ada_norm_zero",
        "attention_bias": True,
        "activation_fn": "gelu-approximate",
        "norm_elementwise_affine": False,
        "upcast_attention": False,
        "cross_attention_dim": None,
        "double_self_attention": False,
    }
    for key, value in only.items():
        if values.get(key, value) != value:
            raise UserError(f"{where}: {key} = {values[key]!r} is not supported; it must be {value!r}.")
    check(DiTFile, values, where=where)
    try:
        return DiTConfig(
            channels=values["in_channels"],
            out_channels=values.get("out_channels") or values["in_channels"],
            side=values["sample_size"],
            patch_side=values["patch_size"],
            layers=values["num_layers"],
            heads=values["num_attention_heads"],
            head_dim=values["attention_head_dim"],
            classes=values["num_embeds_ada_norm"],
            eps=values.get("norm_eps", 1e-5),
        )
    except KeyError as error:
        raise UserError(f"{where}: {error.args[0]} is missing, so this is not a DiT's.") from error
