"""What is measured of a shot: each figure has its unit in filters.toml.

Legend: h w a picture, k pictures that are looked at closely.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from sorairo.data.build.extras import needed

__all__ = ["Shot", "bar_box", "flow_speed", "is_repeat", "pdq", "sharpness", "shrunk"]

REPEAT = 0.25
"""Mean change in levels below which a frame repeats the one before; an encoder's noise on a still is about 0.1."""
DARK = 24
"""Levels: a row or column that is nowhere brighter is black. Video black is 16, and encoders add a few."""
WIDTH = 320
"""Pixels of the longer side at which sharpness is measured, so that sizes compare."""


@dataclass(frozen=True, kw_only=True)
class Shot:
    """One shot of a file. start, stop: its frames, the second not included. begin, end: seconds from the first frame.

    figures: name -> value. box: (left, top, right, bottom), the picture between black bars. hashes: PDQ, in hex, of
    some of its pictures. look: a strip of pictures, WebP.
    """

    start: int
    stop: int
    begin: float
    end: float
    size: tuple[int, int]
    figures: dict[str, float]
    box: tuple[int, int, int, int]
    hashes: tuple[str, ...]
    look: bytes = field(default=b"", repr=False)


def shrunk(picture: np.ndarray, longest: int) -> np.ndarray:
    """A picture (h w ...) with its longer side at most `longest` pixels, averaged over areas."""
    h, w = picture.shape[:2]
    scale = longest / max(h, w)
    if scale >= 1:
        return picture
    size = max(1, round(w * scale)), max(1, round(h * scale))
    cv2 = needed("cv2")
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def is_repeat(grey: np.ndarray, before: np.ndarray) -> bool:
    """Whether a frame shows what the one before did. Both: uint8 (h w)."""
    return float(np.abs(grey.astype(np.int16) - before).mean()) < REPEAT


def flow_speed(grey: np.ndarray, before: np.ndarray, seconds: float) -> float:
    """How fast the fastest twentieth of the picture moves: % of the diagonal a second (DIS flow, Kroeger 2016)."""
    cv2 = needed("cv2")
    if min(grey.shape) < 16:
        return 0.0
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_ULTRAFAST).calc(before, grey, None)
    length = np.linalg.norm(flow, axis=2)
    fastest = np.partition(length.ravel(), int(0.95 * length.size))[int(0.95 * length.size) :]
    return float(fastest.mean()) / float(np.hypot(*grey.shape)) * 100 / max(seconds, 1e-3)


def sharpness(picture: np.ndarray, text: Sequence[tuple[int, int, int, int]]) -> float:
    """Variance of the Laplacian of the picture (h w 3) at WIDTH, outside the boxes of text.

    Letters are the sharpest thing in a picture: burnt into a blurred one they would make it count as sharp.
    """
    cv2 = needed("cv2")
    grey = cv2.cvtColor(shrunk(picture, WIDTH), cv2.COLOR_RGB2GRAY)
    edges = cv2.Laplacian(grey, cv2.CV_32F)
    outside = np.ones(grey.shape, dtype=bool)
    scale = grey.shape[1] / picture.shape[1]
    for left, top, right, bottom in text:
        rows = slice(max(0, int(top * scale) - 3), int(bottom * scale) + 4)
        outside[rows, max(0, int(left * scale) - 3) : int(right * scale) + 4] = False
    return float(edges[outside].var()) if outside.any() else 0.0


def bar_box(pictures: Sequence[np.ndarray]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) between the black bars of all pictures (h w 3); the whole where all is black."""
    bright = np.max([picture.max(axis=2) for picture in pictures], axis=0) > DARK  # h w
    h, w = bright.shape
    rows, columns = bright.mean(axis=1) > 0.01, bright.mean(axis=0) > 0.01
    if not rows.any() or not columns.any():
        return 0, 0, w, h
    top, left = int(rows.argmax()), int(columns.argmax())
    return left, top, w - int(columns[::-1].argmax()), h - int(rows[::-1].argmax())


def pdq(picture: np.ndarray) -> str:
    """The PDQ hash of a picture (h w 3), 256 bits in hex (Facebook, "PDQ & TMK + PDQF", 2019)."""
    bits, _ = needed("pdqhash").compute(np.ascontiguousarray(picture))
    return np.packbits(bits.astype(np.uint8)).tobytes().hex()
