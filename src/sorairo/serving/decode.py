"""The child of media.py: reads one file under limits and prints JSON. Run as a module."""

from __future__ import annotations

import json
import os
import resource
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from sorairo.serving.pictures import save_small
from sorairo.types import UserError
from sorairo.video.guards import checked, decoding
from sorairo.video.read import moments_of, read_video

__all__ = ["main"]

OUT = 64 * 2**20
"""Bytes of any file that is written."""


def main() -> None:
    """MEMORY CPU inspect FILE THUMBNAIL, or likeness FILE."""
    limit(resource.RLIMIT_AS, int(sys.argv[1]))
    limit(resource.RLIMIT_CPU, int(sys.argv[2]))
    limit(resource.RLIMIT_FSIZE, OUT)
    os.nice(5)
    tasks: dict[str, Callable[..., dict[str, Any]]] = {"inspect": inspect, "likeness": likeness}
    path = Path(sys.argv[4])
    try:
        answer = tasks[sys.argv[3]](*map(Path, sys.argv[4:]))
    except UserError as error:
        answer = {"error": str(error).replace(str(path), "The file")}
    except MemoryError:
        answer = {"error": "The file does not fit into memory; make it smaller."}
    sys.stdout.write(json.dumps(answer))


def limit(kind: int, most: int) -> None:
    """Lower a limit of this process, never raise one."""
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(kind, (most, most))


def inspect(path: Path, thumbnail: Path) -> dict[str, Any]:
    """Decode every frame, keep the first."""
    first: np.ndarray | None = None
    count, last = 0, 0.0
    with decoding(path):
        for moment in moments_of(checked(path), "white"):
            frame = moment.picture()
            first = frame if first is None else first
            count, last = count + 1, float(moment.time)
    if first is None:
        raise UserError("The file has no frame.")
    height, width = first.shape[:2]
    fps = (count - 1) / last if count > 1 and last > 0 else None
    if thumbnail != Path():
        save_small(first, thumbnail)
    return {
        "kind": "video" if count > 1 else "image",
        "width": width,
        "height": height,
        "frames": count,
        "fps": round(fps, 3) if fps else None,
        "seconds": round(count / fps, 3) if fps else None,
    }


def likeness(path: Path) -> dict[str, Any]:
    """The invisible mark, and the hashes of frames by which a copy is known."""
    from sorairo.safety.fingerprints import can_hash, query_of
    from sorairo.safety.identity import mark_key
    from sorairo.safety.mark_search import detect

    video, key = read_video(path), mark_key(create=False)
    found = detect(video.frames[:: max(1, len(video) // 64)], key) if key else None
    return {
        "mark": asdict(found) if found else None,
        "query": query_of(video).to_dict() if can_hash() else None,
    }


if __name__ == "__main__":
    main()
