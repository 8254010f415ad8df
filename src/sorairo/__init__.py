"""Sorairo: an open Sora.

import sorairo

model = sorairo.load("default")
model.generate("A red ball drops onto the floor and bounces.", seconds=2).save("out.mp4")
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sorairo.jobs.model import Model

__all__ = ["load"]


def load(name_or_folder: str | Path = "default", dtype: str = "auto", device: str = "cpu") -> Model:
    """A model that ships in the package, by name, or the one in a checkpoint folder.

    dtype: auto (bf16 where the processor computes in it, else fp32), bf16 or fp32. Raises UserError.
    """
    from sorairo.jobs.model import load as load_model  # torch is not imported before it is needed

    return load_model(name_or_folder, dtype, device)
