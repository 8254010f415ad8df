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
from PIL import Image

from sorairo.types import UserError
from sorairo.video.guards import checked, decoding
from sorairo.video.read import moments_of, read_video

__all__ = ["main"]

OUT = 64 * 2**20
"""Bytes of any file that is written."""


def main() -> None:
    """MEMORY CPU inspect FILE THUMBNAIL, or pictures FILE THUMBNAIL SPRITESHEET, or likeness FILE."""
    limit(resource.RLIMIT_AS, int(sys.argv[1]))
    limit(resource.RLIMIT_CPU, int(sys.argv[2]))
    limit(resource.RLIMIT_FSIZE, OUT)
    os.nice(5)
    tasks: dict[str, Callable[..., dict[str, Any]]] = {
        "inspect": inspect,
        "pictures": pictures,
        "likeness": likeness,
    }
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


def pictures(path: Path, thumbnail: Path, spritesheet: Path) -> dict[str, Any]:
    """The first frame, and up to 25 frames in order in rows of five."""
    frames = read_video(path).frames
    save_small(frames[0], thumbnail)
    chosen = frames[np.linspace(0, len(frames) - 1, min(25, len(frames))).round().astype(int)]
    _, height, width, _ = chosen.shape
    scale = min(1.0, 256 / max(width, height))
    width, height = max(1, round(width * scale)), max(1, round(height * scale))
    columns = min(5, len(chosen))
    sheet = Image.new("RGB", (width * columns, height * -(-len(chosen) // columns)))
    for index, frame in enumerate(chosen):
        small = Image.fromarray(frame).resize((width, height), Image.Resampling.LANCZOS)
        sheet.paste(small, (width * (index % columns), height * (index // columns)))
    sheet.save(spritesheet, "JPEG", quality=90)
    return {}


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


def save_small(frame: np.ndarray, path: Path) -> None:
    """A frame as a WebP of at most 512 pixels."""
    picture = Image.fromarray(frame)
    picture.thumbnail((512, 512))
    picture.save(path, "WEBP", quality=85)


if __name__ == "__main__":
    main()
