"""What the codec alone does to a clip: encoded and decoded again."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sorairo.codec.model import Codec
from sorairo.pixels import from_frames, to_frames
from sorairo.types import Video

__all__ = ["through"]


@torch.inference_mode()
def through(codec: Codec, video: Video, decode: Callable[[Tensor], Tensor] | None = None) -> Video:
    """A video of 1 + step k frames, encoded and decoded. decode: used in place of the codec's own."""
    weight = next(codec.parameters())
    latents = codec.encode(from_frames(video.frames).to(weight))
    pixels = (decode or codec.decode)(latents)  # 1 3 t h w
    return Video(frames=to_frames(pixels)[0], fps=video.fps)
