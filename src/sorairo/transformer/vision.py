"""Given pictures -> the tokens in which Wan 2.1's image-to-video models are told of them, through a CLIP."""

# Letters: b pictures, h w pixels, m tokens of a picture, d their width

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from sorairo.types import UserError

__all__ = ["Framing", "Vision", "framing_of"]


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How a picture is made ready: its short side becomes `side`, the middle `crop` square stays, then (x - mean) / std
    of values in 0..1."""

    side: int = 224
    crop: int = 224
    mean: tuple[float, float, float] = (0.48145466, 0.4578275, 0.40821073)
    std: tuple[float, float, float] = (0.26862954, 0.26130258, 0.27577711)

    def __call__(self, frames: np.ndarray) -> torch.Tensor:
        """uint8 (b h w 3) -> float32 (b 3 crop crop)."""
        from PIL import Image

        height, width = frames.shape[1:3]
        long = int(self.side * max(height, width) / min(height, width))
        size = (self.side, long) if width <= height else (long, self.side)
        top, left = (size[1] - self.crop) // 2, (size[0] - self.crop) // 2
        made = []
        for frame in frames:
            picture = Image.fromarray(frame).resize(size, Image.Resampling.BICUBIC)
            made.append(np.asarray(picture)[top : top + self.crop, left : left + self.crop])
        pixels = torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2).float() / 255
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (self.mean, self.std))
        return (pixels - mean) / std


def framing_of(values: Mapping[str, Any], where: str) -> Framing:
    """From a preprocessor_config.json. Raises UserError for another way of framing."""
    for step in ("do_resize", "do_center_crop", "do_rescale", "do_normalize"):
        if not values.get(step, True):
            raise UserError(f"{where}: {step} is off, which is not supported.")
    size, crop = values.get("size", {}), values.get("crop_size", {})
    side, square = size.get("shortest_edge"), (crop.get("height"), crop.get("width"))
    if not side or square[0] != square[1] or not square[0] or square[0] > side:
        raise UserError(f"{where}: only a size by shortest_edge and a square crop within it are supported.")
    if values.get("resample", 3) != 3:
        raise UserError(f"{where}: resample is {values['resample']}; only 3 (bicubic) is supported.")
    return Framing(
        side=side, crop=square[0], mean=tuple(values["image_mean"]), std=tuple(values["image_std"])
    )


class Vision:
    """A CLIP's vision tower. load: gives it, a module from pixels to hidden_states; called at the first picture."""

    def __init__(self, load: Callable[[], nn.Module], framing: Framing):
        self.load = load
        self.framing = framing
        self._model: nn.Module | None = None

    @torch.inference_mode()
    def tokens(self, frames: np.ndarray) -> torch.Tensor:
        """Pictures uint8 (b h w 3) -> what the last layer but one says of them, side by side: (1 b*m d)."""
        self._model = self._model or self.load()
        weight = next(self._model.parameters())
        pixels = self.framing(frames).to(weight.device, weight.dtype)  # b 3 crop crop
        states = self._model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2]  # b m d
        return states.flatten(0, 1)[None]
