"""What a model, here or not yet here, needs: parameters, and memory by size and length."""

# Letters: b batch, c channels, t h w latent grid, l words

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from sorairo.checkpoints.adapters.dit import from_dit_config
from sorairo.checkpoints.adapters.kl_image import from_kl_image_config
from sorairo.checkpoints.class_folder import read_json
from sorairo.checkpoints.memory import Part, Stage, folder_parts, module_part, needs, working_memory
from sorairo.codec import kl_image
from sorairo.codec.kl_image import KLImage, KLImageConfig
from sorairo.transformer import dit
from sorairo.transformer.dit import DiT, DiTConfig
from sorairo.types import UserError

__all__ = ["KNOWN", "Ask", "Blueprint", "blueprint", "class_blueprint"]


@dataclass(frozen=True, kw_only=True)
class Ask:
    """What is made at once. size: (width, height) in pixels."""

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
    """A model's shapes, without the model. asks: usual ones. stages: of making what is asked, computed in a dtype."""

    parts: tuple[Part, ...]
    asks: tuple[Ask, ...]
    stages: Callable[[Ask, torch.dtype], list[Stage]]

    def needs(self, ask: Ask, dtype: torch.dtype) -> tuple[int, int]:
        """(bytes with all weights kept, bytes with each stage's weights freed after it)."""
        return needs(self.parts, self.stages(ask, dtype), dtype)


def blueprint(name: str, folder: Path | None) -> Blueprint:
    """Of the model in a folder, or, where that is None, of a published one. Raises UserError for another family."""
    if folder is None:
        if name not in KNOWN:
            raise UserError(f"{name} is not on this machine; get it with: sorairo models pull {name}")
        return KNOWN[name]()
    kind = read_json(folder / "model_index.json").get("_class_name")
    if kind not in FAMILIES:
        raise UserError(
            f"{folder} is a {kind}; the memory that it needs is known only for {', '.join(FAMILIES)}."
        )
    return FAMILIES[kind](folder)


def meta(build: Callable[[], nn.Module]) -> nn.Module:
    """A module with shapes and no memory."""
    with torch.device("meta"):
        return build()


def class_blueprint(
    config: DiTConfig, codec: KLImageConfig, saved: Mapping[str, str | None] | None = None
) -> Blueprint:
    """Of a DiT with its autoencoder. saved: the dtype of each part's file, if it is here.

    Parameters are counted in the modules: the files hold what all blocks share once for each block.
    """
    saved = saved or {}
    side = config.side * codec.factor

    def stages(ask: Ask, dtype: torch.dtype) -> list[Stage]:
        if ask.size != (side, side) or ask.frames != 1:
            raise UserError(f"This model makes single pictures of {side}x{side} only.")
        shape = (config.channels, config.side, config.side)

        def denoise(model: DiT) -> torch.Tensor:
            b = 2 * ask.count  # with guidance
            label = torch.zeros(b, dtype=torch.long)
            return model(torch.zeros(b, *shape, dtype=dtype), label, label)

        def decode(model: KLImage) -> torch.Tensor:
            return model.decode(torch.zeros(ask.count, *shape, dtype=dtype))

        work = working_memory(meta(lambda: DiT(config)), denoise, dtype)
        last = working_memory(meta(lambda: KLImage(codec)), decode, dtype)
        return [
            Stage(name="denoise", parts=("transformer",), working=work),
            Stage(name="decode", parts=("vae",), working=last),
        ]

    parts = (
        module_part("transformer", meta(lambda: DiT(config)), saved.get("transformer")),
        module_part("vae", meta(lambda: KLImage(codec)), saved.get("vae")),
    )
    asks = (Ask(size=(side, side)), Ask(size=(side, side), count=4), Ask(size=(side, side), count=16))
    return Blueprint(parts=parts, asks=asks, stages=stages)


def read_class_folder(folder: Path) -> Blueprint:
    """Of a DiT's folder, from its config files and the headers of its weights."""
    where = folder / "transformer" / "config.json"
    config = from_dit_config(read_json(where), where=str(where))
    where = folder / "vae" / "config.json"
    codec = from_kl_image_config(read_json(where), where=str(where))
    return class_blueprint(config, codec, {part.name: part.dtype for part in folder_parts(folder)})


FAMILIES: dict[str, Callable[[Path], Blueprint]] = {"DiTPipeline": read_class_folder}

# Published shapes, so that the needs are known before anything is pulled
KNOWN: dict[str, Callable[[], Blueprint]] = {
    "facebook/DiT-XL-2-256": lambda: class_blueprint(dit.PRESETS["xl-2-256"], kl_image.PRESETS["sd"]),
    "facebook/DiT-XL-2-512": lambda: class_blueprint(dit.PRESETS["xl-2-512"], kl_image.PRESETS["sd"]),
}
