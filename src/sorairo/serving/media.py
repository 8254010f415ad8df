"""What an upload is, found out in a child process with limits of memory, processor and time."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from sorairo.types import UserError

__all__ = ["inspect", "likeness"]

SECONDS = 60
MEMORY, CPU = 3 * 2**30, 50
"""Bytes of address space of the child (libraries take about one GB); its seconds of processor."""


def inspect(path: Path, thumbnail: Path | None = None) -> dict[str, Any]:
    """{kind, width, height, frames, fps, seconds} of a picture or clip, after every frame was decoded.

    thumbnail: where a small WebP of its first frame goes. Raises UserError for what is neither, broken or too large.
    """
    return _child("inspect", path, thumbnail or Path())


def likeness(path: Path) -> dict[str, Any]:
    """{mark, query} of a picture or clip: see `safety/whose`. Raises UserError for what cannot be read."""
    return _child("likeness", path)


def _child(*words: str | Path) -> dict[str, Any]:
    limits = [str(MEMORY), str(CPU)]
    command = [sys.executable, "-m", "sorairo.serving.decode", *limits, *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired as error:
        raise UserError(f"The file took more than {SECONDS} s to read; make it smaller.") from error
    try:
        answer = json.loads(done.stdout.decode())
    except ValueError as error:
        raise UserError("The file cannot be read as a video or a picture; it may be damaged.") from error
    if "error" in answer:
        raise UserError(answer["error"])
    return answer
