"""Other sizes of a video."""

from __future__ import annotations

import numpy as np
from PIL import Image

from sorairo.types import UserError, Video

__all__ = ["FITS", "check_fit", "fitted", "resize"]

FITS = ("crop", "letterbox", "stretch")


def resize(video: Video, size: tuple[int, int], *, fit: str = "crop") -> Video:
    """`video` at `size` (width, height) in pixels; see `fitted`."""
    if video.size == size:
        return video
    return Video(frames=np.stack([fitted(frame, size, fit) for frame in video.frames]), fps=video.fps)


def fitted(picture: np.ndarray, size: tuple[int, int], fit: str = "crop") -> np.ndarray:
    """A picture (h w 3) at `size` (width, height) in pixels, uint8.

    fit: "crop" keeps the shape of things and cuts off two sides alike, "letterbox" keeps it and adds black bars,
    "stretch" fills the size as it is. Filtered with Lanczos' kernel in gamma-encoded RGB, as players do.
    """
    assert fit in FITS
    width, height = size
    h, w, _ = picture.shape
    if (w, h) == (width, height):
        return picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    box = (0.0, 0.0, float(w), float(h))
    if fit == "letterbox":
        scale = min(width / w, height / h)
        inner = (max(1, round(w * scale)), max(1, round(h * scale)))
        page = Image.new("RGB", size)
        place = ((width - inner[0]) // 2, (height - inner[1]) // 2)
        page.paste(image.resize(inner, Image.Resampling.LANCZOS), place)
        return np.asarray(page)
    if fit == "crop":
        scale = max(width / w, height / h)
        left, top = (w - width / scale) / 2, (h - height / scale) / 2
        box = (max(left, 0.0), max(top, 0.0), min(w - left, w), min(h - top, h))
    return np.asarray(image.resize(size, Image.Resampling.LANCZOS, box))


def check_fit(fit: str) -> None:
    """Refuse a way to fit that is none. Raises UserError."""
    if fit not in FITS:
        raise UserError(f"--fit is one of {', '.join(FITS)}, not {fit!r}.")
