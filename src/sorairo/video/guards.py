"""What is looked at before a file is decoded: what it is, how large it says it is, and whether that is too much."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sorairo.types import UserError

__all__ = [
    "MAX_BYTES",
    "MAX_DECODED",
    "MAX_FRAMES",
    "MAX_PIXELS",
    "check_extent",
    "checked",
    "decoding",
]

MAX_FRAMES = 3600
"""Frames of one file: two minutes at 30 a second."""
MAX_PIXELS = 2**25
"""Pixels of one frame: a little over 7680x4320."""
MAX_DECODED = 2**34
"""Pixels of all frames of a file together: 3600 frames of 2560x1440, or 500 of 8K."""
MAX_BYTES = 2**31
"""Bytes of all frames that are kept, as RGB."""


def checked(path: Path) -> Path:
    """The path of a file that is there and holds something. Raises UserError."""
    try:
        there = path.exists()
    except OSError:  # a name that is longer than names can be
        there = False
    if not there:
        raise UserError(f"{path} does not exist.")
    if not path.is_file():
        raise UserError(f"{path} is not a file; give the name of a video or a picture.")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    if not os.access(path, os.R_OK):
        raise UserError(f"{path} may not be read; change its rights.")
    return path


def check_extent(path: Path, width: int, height: int, frames: int = 1, most: int | None = MAX_FRAMES) -> None:
    """Refuse more than can be held, by what a header says or by what was counted. Raises UserError.

    most: frames; None where they are not held together, so that a file may be of any length.
    """
    if width * height > MAX_PIXELS:
        raise UserError(f"{path} is {width}x{height}, which is too large; make it smaller than 8K.")
    if most is None:
        return
    if frames > most:
        raise UserError(f"{path} has more than {most} frames; cut it to fewer.")
    if width * height * frames > MAX_DECODED:
        raise UserError(f"{path} is too long for its size; cut it or make it smaller.")


@contextmanager
def decoding(path: Path) -> Iterator[None]:
    """Turns whatever a library raises for a damaged file into one sentence.

    No list of types would do: for flipped bits Pillow alone raises OSError, SyntaxError, ValueError, struct.error,
    zlib.error, IndexError, KeyError and more, and the next release may add to them.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if type(error) is MemoryError:  # FFmpeg's own, a subclass, is what it says of absurd lengths
            raise UserError(f"{path} does not fit into memory; cut it or make it smaller.") from error
        if type(error).__name__.startswith("DecompressionBomb"):
            raise UserError(f"{path} is too large a picture; make it smaller than 8K.") from error
        if "MAX_TEXT" in str(error):  # of Pillow: PNG's texts may unpack to 1 MB each and 64 MB together
            raise UserError(
                f"{path} holds too much text beside its picture; save the picture without it."
            ) from error
        raise UserError(f"{path} cannot be read as a video or a picture; it may be damaged.") from error
