"""Words that stand in a picture, read by RapidOCR: an order can hide there from whoever reads the prompt alone."""

# Letters: h height, w width

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from sorairo.types import UserError, Video

__all__ = ["LONGEST", "SURE", "reader", "words_in", "words_in_videos"]

LONGEST = 640
"""Pixels of the longer side that is read: letters of a subtitle are 20 high there."""

SURE = 0.6
"""Of a reading, 0 to 1."""

FRAMES = 3
"""Of a clip: its first, its middle and its last one."""


def words_in(picture: np.ndarray) -> str:
    """The lines of words in a picture uint8 (h w 3), from top to bottom with gaps between; "" for none. Raises
    UserError where RapidOCR is not installed."""
    from PIL import Image

    scale = LONGEST / max(picture.shape[:2])
    if scale < 1:
        size = (round(picture.shape[1] * scale), round(picture.shape[0] * scale))
        picture = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BOX))
    found = reader()(np.ascontiguousarray(picture[:, :, ::-1]), use_cls=False)
    if found.boxes is None:
        return ""
    lines = sorted(
        (float(corners[:, 1].min()), words)
        for corners, words, score in zip(found.boxes, found.txts, found.scores, strict=True)
        if score >= SURE and sum(map(str.isalnum, words)) >= 2
    )
    return " ".join(words for _, words in lines)


def words_in_videos(videos: Sequence[Video]) -> tuple[str, ...]:
    """The different texts in pictures and clips; of a clip FRAMES frames are read. Raises UserError."""
    texts = []
    for video in videos:
        last = len(video) - 1
        numbers = dict.fromkeys(round(last * place / (FRAMES - 1)) for place in range(FRAMES))
        texts += [words_in(video.frames[number]) for number in numbers]
    return tuple(dict.fromkeys(text for text in texts if text))


@lru_cache(maxsize=1)
def reader() -> Any:
    """RapidOCR on one thread; its weights are in its package. Raises UserError with the command that installs it."""
    try:
        import rapidocr
    except ImportError as error:
        raise UserError('Reading words in pictures needs rapidocr: pip install "sorairo[data]".') from error
    logging.getLogger("RapidOCR").setLevel(logging.ERROR)
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "error",
            "Det.limit_side_len": LONGEST,
            "Det.limit_type": "max",
            "EngineConfig.onnxruntime.intra_op_num_threads": 1,
            "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        }
    )
