"""`sorairo generate --class`: pictures of a named class, by a DiT."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sorairo.cli.outcome import report

if TYPE_CHECKING:
    from sorairo.jobs.run import Result

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
    from sorairo.jobs.record import check_outputs, write, write_sheet

    check_outputs(paths, sheet)
    results: list[Result] = []
    with Stages() as stages:
        stages("load")
        from dataclasses import fields

        from sorairo.checkpoints.class_folder import load_class_model
        from sorairo.checkpoints.folder import compute_dtype, find_folder
        from sorairo.class_images import generate_images
        from sorairo.jobs.record import Clip
        from sorairo.jobs.run import Result as Made
        from sorairo.types import Sample

        loaded = load_class_model(find_folder(model), compute_dtype(ask.dtype))
        for seed, path in zip(seeds, paths, strict=True):
            (sample,) = generate_images(
                loaded,
                ask.label,
                [seed],
                steps=ask.steps,
                guidance=ask.guidance,
                sampler=ask.sampler,
                progress=stages,
            )
            clip = Clip(**{one.name: getattr(sample, one.name) for one in fields(Sample)})
            record = write(clip, path, [*paths, *([sheet] if sheet else [])])
            results.append(Made(path=path, sample=clip, record=record, rewrites=[]))
        if sheet:
            write_sheet(sheet, [result.sample for result in results], frames_per=1)
    report(results, sheet, stages.timings, as_json)
