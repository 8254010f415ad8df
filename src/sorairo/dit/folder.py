"""A folder as diffusers' DiTPipeline saves it -> a model that makes pictures of named classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from sorairo.checkpoints.folder import read_json
from sorairo.checkpoints.hub.store import check_complete
from sorairo.checkpoints.tensors import load_weights
from sorairo.dit.betas import from_scheduler_config
from sorairo.dit.codec import KLImage
from sorairo.dit.codec_names import from_kl_image, from_kl_image_config
from sorairo.dit.ddpm import Betas
from sorairo.dit.model import DiT
from sorairo.dit.names import from_dit, from_dit_config
from sorairo.types import UserError

__all__ = ["ClassModel", "is_class_folder", "load_class_model"]


@dataclass(frozen=True, kw_only=True, eq=False)
class ClassModel:
    """A DiT with what it needs. labels: class number -> its names. sampler: "ddim" or "ddpm"."""

    name: str
    transformer: DiT
    codec: KLImage
    betas: Betas
    sampler: str
    labels: dict[int, tuple[str, ...]]

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of its pictures in pixels."""
        side = self.transformer.config.side * self.codec.config.factor
        return side, side


def is_class_folder(folder: Path) -> bool:
    """Whether a checkpoint's folder is a DiT's."""
    index = folder / "model_index.json"
    return index.is_file() and read_json(index).get("_class_name") == "DiTPipeline"


def load_class_model(
    folder: Path, dtype: torch.dtype | None = None, device: str | torch.device = "cpu"
) -> ClassModel:
    """Open a DiT's folder. dtype: of the weights; None keeps them as saved.

    Raises UserError for another family, a half-pulled folder, a pickle, and weights that do not fit.
    """
    check_complete(folder)
    index = read_json(folder / "model_index.json")
    if index.get("_class_name") != "DiTPipeline":
        raise UserError(f"{folder} is a {index.get('_class_name')}, which takes words: use sorairo generate.")
    where = folder / "transformer" / "config.json"
    dit_config = from_dit_config(read_json(where), where=str(where))
    where = folder / "vae" / "config.json"
    codec_config = from_kl_image_config(read_json(where), where=str(where))
    where = folder / "scheduler" / "scheduler_config.json"
    betas, sampler = from_scheduler_config(read_json(where), where=str(where))
    if codec_config.latent_channels != dit_config.channels:
        raise UserError(
            f"{folder}: the transformer takes {dit_config.channels} latent channels and the autoencoder gives"
            f" {codec_config.latent_channels}; they do not belong together."
        )
    with torch.device("meta"):
        transformer, codec = DiT(dit_config), KLImage(codec_config)
    load_weights(transformer, folder / "transformer", from_dit, dtype)
    # the layout in which a CPU's convolutions are fastest
    load_weights(codec, folder / "vae", from_kl_image, dtype, layout=torch.channels_last)
    return ClassModel(
        name=folder.name,
        transformer=transformer.to(device).eval().requires_grad_(False),
        codec=codec.to(device).eval().requires_grad_(False),
        betas=betas,
        sampler=sampler,
        labels=read_labels(index.get("id2label") or {}, where=str(folder / "model_index.json")),
    )


def read_labels(id2label: Mapping[str, str], where: str) -> dict[int, tuple[str, ...]]:
    """Class numbers and their names from a list as ImageNet's: several names of a class stand between commas."""
    try:
        return {int(k): tuple(name.strip() for name in v.split(",")) for k, v in id2label.items()}
    except (ValueError, AttributeError) as error:
        raise UserError(f"{where}: id2label must give each class number its names.") from error
