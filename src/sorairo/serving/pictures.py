"""The small pictures of a video: its first frame, and a sheet of up to 25."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sorairo.types import Video

__all__ = ["save_small", "save_spritesheet"]

SMALL, CELL, COLUMNS, CELLS = 512, 256, 5, 25


def save_small(frame: np.ndarray, path: Path) -> None:
    """A frame (h w 3, uint8) as a WebP of at most 512 pixels."""
    picture = Image.fromarray(frame)
    picture.thumbnail((SMALL, SMALL))
    picture.save(path, "WEBP", quality=85)


def save_spritesheet(video: Video, path: Path) -> None:
    """Up to 25 frames in order, in rows of five, each of at most 256 pixels, as a JPEG."""
    numbers = np.linspace(0, len(video) - 1, min(CELLS, len(video))).round().astype(int)
    width, height = video.size
    scale = min(1.0, CELL / max(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    columns = min(COLUMNS, len(numbers))
    sheet = Image.new("RGB", (width * columns, height * -(-len(numbers) // columns)))
    for index, number in enumerate(numbers):
        cell = Image.fromarray(video.frames[number]).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(cell, (width * (index % columns), height * (index // columns)))
    sheet.save(path, "JPEG", quality=90)
