"""What a DiT needs: parameters, and memory by the number of pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import torch

from sorairo.checkpoints.folder import read_json
from sorairo.checkpoints.memory import estimates
from sorairo.checkpoints.memory.estimates import Ask, Blueprint
from sorairo.checkpoints.memory.working import Stage, folder_parts, meta, module_part, working_memory
from sorairo.dit.codec import PRESETS as CODECS
from sorairo.dit.codec import KLImage, KLImageConfig
from sorairo.dit.codec_names import from_kl_image_config
from sorairo.dit.model import PRESETS, DiT, DiTConfig
from sorairo.dit.names import from_dit_config
from sorairo.types import UserError

__all__ = ["KNOWN", "blueprint", "class_blueprint"]


def blueprint(name: str, folder: Path | None) -> Blueprint:
    """Of any model, a DiT or one of Wan's family; see checkpoints/memory/estimates.py. Raises UserError."""
    families = {"DiTPipeline": read_class_folder, **estimates.FAMILIES}
    return estimates.blueprint(name, folder, families=families, known=KNOWN | estimates.KNOWN)


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
        few = replace(config, layers=min(2, config.layers))  # all blocks need the same

        def denoise(model: DiT) -> torch.Tensor:
            b = 2 * ask.count  # with guidance
            label = torch.zeros(b, dtype=torch.long)
            return model(torch.zeros(b, *shape, dtype=dtype), label, label)

        def decode(model: KLImage) -> torch.Tensor:
            return model.decode(torch.zeros(ask.count, *shape, dtype=dtype))

        work = working_memory(meta(lambda: DiT(few)), denoise, dtype)
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
    return Blueprint(configs=(config, codec), parts=parts, asks=asks, stages=stages)


def read_class_folder(folder: Path) -> Blueprint:
    """Of a DiT's folder, from its config files and the headers of its weights."""
    where = folder / "transformer" / "config.json"
    config = from_dit_config(read_json(where), where=str(where))
    where = folder / "vae" / "config.json"
    codec = from_kl_image_config(read_json(where), where=str(where))
    return class_blueprint(config, codec, {part.name: part.dtype for part in folder_parts(folder)})


KNOWN: dict[str, Callable[[], Blueprint]] = {
    "facebook/DiT-XL-2-256": lambda: class_blueprint(PRESETS["xl-2-256"], CODECS["sd"]),
    "facebook/DiT-XL-2-512": lambda: class_blueprint(PRESETS["xl-2-512"], CODECS["sd"]),
}
