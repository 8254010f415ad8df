"""What a command that made videos leaves behind: names, what the files remember, and what is printed."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sorairo.version import VERSION

if TYPE_CHECKING:
    from sorairo.plans import Given
    from sorairo.types import Sample

__all__ = ["numbered", "recipe", "report"]


def numbered(out: Path, number: int) -> list[Path]:
    """out.mp4, or out-1.mp4 to out-K.mp4."""
    if number == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{index}") for index in range(1, number + 1)]


def recipe(sample: Sample, given: Sequence[Given] = (), upscale: int | None = None) -> dict[str, Any]:
    """What the file remembers of how it was made, enough to make it again.

    given: the files it was made with. upscale: by how much its frames were enlarged after they were made.
    """
    from sorairo.plans import plan_to_dict

    plan = sample.plan
    return {
        "prompt": plan.spans[0].text,
        "negative": plan.negative,
        "seed": plan.seed,
        "size": list(plan.size),
        "frames": plan.frames,
        "fps": plan.fps,
        "steps": plan.steps,
        "guidance": plan.guidance,
        "model": sample.model,
        "software": f"sorairo {VERSION}",
        **({} if upscale is None else {"upscale": upscale}),
        "plan": plan_to_dict(plan, given),
    }


def report(
    samples: list[Sample],
    paths: list[Path],
    sheet: Path | None,
    timings: dict[str, float],
    as_json: bool,
    given: Sequence[Given] = (),
    rewrites: Sequence[tuple[str, str]] = (),
    upscale: int | None = None,
) -> None:
    """One JSON object, or a line per file, on stdout. rewrites: (words, what --expand made of them)."""
    sample = samples[0]
    if as_json:
        values: dict[str, Any] = {"path": str(paths[0])} | recipe(sample, given, upscale)
        values["videos"] = [
            {"path": str(path), "seed": one.plan.seed} for path, one in zip(paths, samples, strict=True)
        ]
        values["sheet"] = str(sheet) if sheet else None
        values["expanded"] = [{"prompt": words, "text": text} for words, text in rewrites]
        values["notes"] = list(sample.notes)
        values["timings"] = {stage: round(seconds, 4) for stage, seconds in timings.items()}
        print(json.dumps(values))
        return
    w, h = sample.video.size
    for path, one in zip(paths, samples, strict=True):
        length = len(one.video) / one.video.fps
        print(f"{path}  {w}x{h}, {length:.1f} s at {one.video.fps:g} frames a second, seed {one.plan.seed}")
    if sheet:
        print(f"{sheet}  contact sheet")
