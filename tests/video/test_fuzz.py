"""Files cut short and with flipped bits are read or refused in one sentence, at once; nothing else happens."""

from __future__ import annotations

import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from sorairo.types import UserError
from sorairo.video import read_clip, read_metadata, read_still, read_video
from tests.video.clips import FORMATS, write_any

READERS = {
    "video": read_video,
    "clip": lambda path: read_clip(path, (16, 16), 12.0, "letterbox"),
    "still": lambda path: read_still(path, (16, 16), "stretch"),
    "metadata": read_metadata,
}
CUTS, FLIPS = 12, 24
HEAD = 400  # bytes in which most of what a file says of itself stands


def damaged(data: bytes) -> list[bytes]:
    """The first bytes of a file, more and more of them, and the whole with one to eight bits flipped."""
    rng = np.random.default_rng(0)
    made = [data[: len(data) * cut // CUTS] for cut in range(CUTS)]
    for number in range(FLIPS):
        flipped = bytearray(data)
        reach = min(HEAD, len(data)) if number % 2 else len(data)
        for place in rng.integers(reach, size=1 << number % 4):
            flipped[place] ^= 1 << int(rng.integers(8))
        made.append(bytes(flipped))
    return made


@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_files(tmp_path: Path, kind: str) -> None:
    data = write_any(tmp_path, kind).read_bytes()
    path = tmp_path / f"damaged.{kind}"
    for number, content in enumerate(damaged(data)):
        path.write_bytes(content)
        for name, read in READERS.items():
            start = time.process_time()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow's, of a damaged EXIF
                try:
                    read(path)
                except UserError as error:
                    assert str(error).endswith(".") and "\n" not in str(error), (kind, number, name)
            assert time.process_time() - start < 10, (kind, number, name)
