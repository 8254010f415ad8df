"""Previews of a video in the making: all its frames by a linear map of the latents, where the model's folder has one.

The default model has: its latent space is linear, so `LatentSpace.decode` shows every frame for the price of a tenth of
the codec's first one. Any other model shows the first frame, by its codec.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sorairo.checkpoints.folder import Checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.pixels import to_frames
from sorairo.types import Video

__all__ = ["foreseen", "save_preview"]

LONGEST = 65
"""Frames of the longest preview that moves; of a longer video every second, third, ... frame is shown."""


@lru_cache(maxsize=4)
def linear_map(folder: Path) -> LatentSpace | None:
    """The linear map of a model; None where its folder has none. Raises UserError for a damaged one."""
    path = folder / "preview.safetensors"
    return LatentSpace.load(path) if path.is_file() else None


@torch.inference_mode()
def foreseen(model: Checkpoint, latents: torch.Tensor) -> Video:
    """The frames that latents (1 c t h w, normalised) stand for: all of them by the linear map, else the first."""
    found = linear_map(model.folder)
    if found is None or found.still.shape[1] != latents.shape[1]:
        first = model.pixels(latents[:, :, :1])
        return Video(frames=to_frames(first)[0][:1], fps=model.info.fps)
    frames = to_frames(found.decode(latents.cpu()))[0]
    some = -(-len(frames) // LONGEST)
    return Video(frames=np.ascontiguousarray(frames[::some]), fps=model.info.fps / some)


def save_preview(video: Video, path: Path) -> None:
    """A WebP, which moves if there are several frames."""
    first, *others = [Image.fromarray(frame) for frame in video.frames]
    moving = {"save_all": True, "append_images": others, "duration": round(1000 / video.fps), "loop": 0}
    first.save(path, "WEBP", quality=60, method=0, **(moving if others else {}))
