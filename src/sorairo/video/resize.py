"""Other sizes of a video."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sorairo.types import Video

__all__ = ["resize"]


def resize(video: Video, size: tuple[int, int], *, fit: str = "cover") -> Video:
    """`video` at `size` (width, height) in pixels.

    fit: "cover" keeps the shape of things and crops the middle; "stretch" fills the size as it is. Filtered
    with Lanczos' kernel in gamma-encoded RGB, as players do.
    """
    assert fit in ("cover", "stretch")
    width, height = size
    w, h = video.size
    if (w, h) == (width, height):
        return video
    box = (0.0, 0.0, float(w), float(h))
    if fit == "cover":
        scale = max(width / w, height / h)
        left, top = (w - width / scale) / 2, (h - height / scale) / 2
        box = (left, top, w - left, h - top)
    pictures = (Image.fromarray(frame) for frame in video.frames)
    frames = [np.asarray(picture.resize(size, Image.Resampling.LANCZOS, box)) for picture in pictures]
    return Video(frames=np.stack(frames), fps=video.fps)
