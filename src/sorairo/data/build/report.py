"""What a build says of itself: kept.jsonl, rejected.jsonl, and a sheet of what stands beside each bound."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from sorairo.data.build.choose import Verdict
from sorairo.data.build.ledger import Ledger
from sorairo.data.build.settings import FIGURES, Filters
from sorairo.files import whole_file, write_text
from sorairo.types import Video
from sorairo.video.sheet import sheet

__all__ = ["counts", "entry", "write_reports", "write_sheets"]

BESIDE = 6
"""Shots on each side of a bound."""


def entry(one: Verdict) -> dict[str, Any]:
    """A verdict as JSON values."""
    values: dict[str, Any] = {"file": one.file, "sha256": one.sha256}
    if one.shot:
        values |= {"shot": one.shot, "begin": one.begin, "end": one.end, "figures": dict(one.figures)}
    if one.by:
        return values | {"by": one.by, "reason": one.reason}
    return values | {
        "clips": [
            {"id": clip.id, "size": list(clip.size), "frames": clip.frames, "first": clip.first}
            for clip in one.clips
        ],
        "captions": list(one.original),
    }


def counts(verdicts: Sequence[Verdict]) -> dict[str, int]:
    """How many shots and files each filter dropped, the most first."""
    return dict(Counter(one.by for one in verdicts if one.by).most_common())


def write_reports(out: Path, verdicts: Sequence[Verdict]) -> None:
    """Write kept.jsonl and rejected.jsonl, a line a shot."""
    for name, some in (
        ("kept", [one for one in verdicts if not one.by]),
        ("rejected", [one for one in verdicts if one.by]),
    ):
        write_text(out / f"{name}.jsonl", "".join(json.dumps(entry(one)) + "\n" for one in some))


def write_sheets(out: Path, verdicts: Sequence[Verdict], filters: Filters, ledger: Ledger) -> list[Path]:
    """OUT/sheets/FIGURE.png: the shots nearest to each bound, dropped ones left, kept ones right, nearest first."""
    written = []
    for figure in FIGURES:
        bounds = filters.bounds.get(figure)
        measured = [one for one in verdicts if figure in one.figures]
        for side, bound in (("least", bounds.least), ("most", bounds.most)) if bounds else ():
            sign = 1 if side == "least" else -1
            inside = [one for one in measured if sign * one.figures[figure] >= sign * bound]
            outside = [one for one in measured if sign * one.figures[figure] < sign * bound]
            if not outside:
                continue
            near = [
                sorted(some, key=lambda one: abs(one.figures[figure] - bound))[:BESIDE]
                for some in (outside, inside)
            ]
            path = out / "sheets" / f"{figure}_{side}.png"
            _write(path, _page(figure, side, bound, near[0], near[1], ledger))
            written.append(path)
    return written


def _page(
    figure: str, side: str, bound: float, outside: list[Verdict], inside: list[Verdict], ledger: Ledger
) -> Image.Image:
    videos, words = [], []
    for row in range(max(len(outside), len(inside))):
        for kept, some in ((False, outside), (True, inside)):
            if row < len(some):
                one = some[row]
                videos.append(_look(ledger.look(one.sha256, one.shot)))
                what = "kept by this" if kept else "dropped"
                words.append(f"{figure} {one.figures[figure]:g}, {what} ({side} {bound:g}): {one.file}")
            else:
                videos.append(Video(frames=np.full((1, 72, 8, 3), 250, np.uint8), fps=1.0))
                words.append("-")
    return sheet(videos, words, columns=2, frames_per=1)


def _look(path: Path) -> Video:
    """The pictures of a shot; grey where their file is gone or was cut off by a power cut."""
    try:
        with Image.open(path) as image:
            frames = np.asarray(image.convert("RGB"))[None]
    except (OSError, ValueError):
        frames = np.full((1, 72, 96, 3), 128, np.uint8)
    return Video(frames=frames, fps=1.0)


def _write(path: Path, image: Image.Image) -> None:
    with whole_file(path) as temporary:
        image.save(temporary)
