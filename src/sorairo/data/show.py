"""What is in a folder of shards, page by page, and whether it is whole."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sorairo.data.manifest import Manifest
from sorairo.files import file_hash, whole_file
from sorairo.types import UserError, Video
from sorairo.video.sheet import sheet

__all__ = ["damaged_shards", "entries", "page_sheet"]


def entries(out: Path, rejected: bool, by: str = "") -> list[dict[str, Any]]:
    """The lines of kept.jsonl or rejected.jsonl. by: those of one filter alone. Raises UserError."""
    path = out / ("rejected.jsonl" if rejected else "kept.jsonl")
    try:
        lines = [json.loads(line) for line in path.read_text().splitlines()]
    except OSError as error:
        raise UserError(f"{path} is missing: run sorairo data build to its end.") from error
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: run sorairo data build again, which writes it again.") from error
    names = sorted({line["by"] for line in lines}) if rejected else []
    if by and by not in names:
        raise UserError(f"Nothing was dropped by {by!r}; there are {', '.join(names) or 'no dropped shots'}.")
    return [line for line in lines if not by or line["by"] == by]


def damaged_shards(out: Path, manifest: Manifest) -> list[str]:
    """The shards that are missing or are not what was written."""
    damaged = []
    for shard in manifest.shards:
        path = out / shard.name
        try:
            whole = file_hash(path) == shard.sha256
        except OSError:
            whole = False
        if not whole:
            damaged.append(shard.name)
    return damaged


def page_sheet(out: Path, some: Sequence[dict[str, Any]], path: Path) -> None:
    """A picture of some shots: four frames of each under what `line_of` says of it. Raises UserError."""
    videos, words = [], []
    for one in some:
        look = out / "work" / "looks" / f"{one['sha256'][:20]}-{one.get('shot', 0)}.webp"
        try:
            with Image.open(look) as image:
                frames = np.asarray(image.convert("RGB"))[None]
        except OSError:  # a file without shots
            frames = np.full((1, 72, 288, 3), 225, np.uint8)
        videos.append(Video(frames=frames, fps=1.0))
        words.append(line_of(one))
    if not videos:
        raise UserError("There is nothing to show on this page.")
    with whole_file(path) as temporary:
        sheet(videos, words, columns=2, frames_per=1).save(temporary)


def line_of(one: dict[str, Any]) -> str:
    """One line on a shot or a file."""
    place = f" {one['begin']:.2f}-{one['end']:.2f} s" if one.get("shot") else ""
    if "reason" in one:
        return f"{one['file']}{place}: {one['reason']}"
    clips = one["clips"]
    size = "x".join(map(str, clips[0]["size"])) if clips else "?"
    words = one["captions"][0] if one["captions"] else "(captioner)"
    return (
        f"{one['file']}{place}: {len(clips)} of {size}, {clips[0]['frames'] if clips else 0} frames: {words}"
    )
