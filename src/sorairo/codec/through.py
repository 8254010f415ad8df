"""What the codec alone does to a clip: encoded and decoded again."""

from __future__ import annotations

import torch

from sorairo.codec.model import Codec
from sorairo.pixels import from_frames, to_frames
from sorairo.types import Video

__all__ = ["through"]


@torch.inference_mode()
def through(codec: Codec, video: Video) -> Video:
    """A video of 1 + step k frames, encoded and decoded."""
    weight = next(codec.parameters())
    pixels = codec.decode(codec.encode(from_frames(video.frames).to(weight)))  # 1 3 t h w
    return Video(frames=to_frames(pixels)[0], fps=video.fps)
