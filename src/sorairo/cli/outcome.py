"""What a command that made videos leaves behind: the names of its files, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sorairo.cli.terminal import safe

if TYPE_CHECKING:
    from sorairo.jobs.run import Result

__all__ = ["numbered", "report"]


def numbered(out: Path, number: int) -> list[Path]:
    """out.mp4, or out-1.mp4 to out-K.mp4."""
    if number == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{index}") for index in range(1, number + 1)]


def report(results: Sequence[Result], sheet: Path | None, timings: dict[str, float], as_json: bool) -> None:
    """One JSON object, or a line per file, on stdout."""
    first = results[0]
    if as_json:
        values: dict[str, Any] = {"path": str(first.path)} | first.record
        values["videos"] = [{"path": str(one.path), "seed": one.sample.plan.seed} for one in results]
        values["sheet"] = str(sheet) if sheet else None
        values["expanded"] = [{"prompt": words, "text": text} for words, text in first.rewrites]
        values["notes"] = list(first.sample.notes)
        values["timings"] = {stage: round(seconds, 4) for stage, seconds in timings.items()}
        print(json.dumps(values))
        return
    for one in results:
        video = one.sample.video
        (w, h), length = video.size, len(video) / video.fps
        seed = one.sample.plan.seed
        print(f"{safe(one.path)}  {w}x{h}, {length:.1f} s at {video.fps:g} frames a second, seed {seed}")
    if sheet:
        print(f"{safe(sheet)}  contact sheet")
