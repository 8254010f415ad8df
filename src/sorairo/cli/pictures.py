"""`sorairo generate --class`: pictures of a named class, by a DiT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sorairo.cli.outcome import recipe, report

if TYPE_CHECKING:
    from sorairo.types import Sample

__all__ = ["ClassAsk", "make_pictures"]


@dataclass(frozen=True, kw_only=True)
class ClassAsk:
    """What is asked of a DiT."""

    label: str
    steps: int | None
    guidance: float | None
    sampler: str | None
    dtype: str


def make_pictures(
    model: str, ask: ClassAsk, seeds: range, paths: list[Path], sheet: Path | None, as_json: bool
) -> None:
    """Pictures of a class, one for each seed."""
    from sorairo.cli.progress import Stages
    from sorairo.video.sheet import contact_sheet
    from sorairo.video.write import write_video

    with Stages() as stages:
        stages("load")
        from sorairo.checkpoints.class_folder import load_class_model
        from sorairo.checkpoints.folder import compute_dtype, find_folder
        from sorairo.class_images import generate_images

        loaded = load_class_model(find_folder(model), compute_dtype(ask.dtype))
        samples: list[Sample] = []
        for seed, path in zip(seeds, paths, strict=True):
            samples += generate_images(
                loaded,
                ask.label,
                [seed],
                steps=ask.steps,
                guidance=ask.guidance,
                sampler=ask.sampler,
                progress=stages,
            )
            write_video(samples[-1].video, path, recipe(samples[-1]))
        if sheet:
            captions = [f"{sample.plan.spans[0].text} (seed {sample.plan.seed})" for sample in samples]
            contact_sheet([sample.video for sample in samples], captions, sheet, frames_per=1)
    report(samples, paths, sheet, stages.timings, as_json)
