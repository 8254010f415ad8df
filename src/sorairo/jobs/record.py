"""The one door by which an output leaves: its frames, its sound, and the record of how it was made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sorairo.jobs.making import Making, claims_of
from sorairo.jobs.plans import SOFTWARE, plan_to_dict
from sorairo.safety.identity import can_sign
from sorairo.types import Plan, Sample, UserError
from sorairo.version import VERSION
from sorairo.video.fonts import missing_note
from sorairo.video.sheet import check_sheet, contact_sheet
from sorairo.video.write import check_writable, write_video

__all__ = ["Clip", "check_outputs", "clip_of", "record_of", "words_of", "write", "write_sheet"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip(Sample):
    """A Sample with all that goes into its file.

    upscale: by how much its frames were enlarged after they were made. track: its sound, float32 (2 n) at 48 kHz.
    making: what its credentials claim besides its record.
    """

    upscale: int | None = None
    track: np.ndarray | None = None
    making: Making = field(default_factory=Making)

    def save(self, path: str | Path) -> None:
        """To .mp4, .gif, .webp or .png, signed, with its sound (.mp4) and the record of how it was made.

        Raises UserError.
        """
        write(self, Path(path))


def clip_of(
    sample: Sample,
    upscale: int | None = None,
    track: np.ndarray | None = None,
    making: Making | None = None,
) -> Clip:
    """A Sample as a Clip."""
    facts = {one.name: getattr(sample, one.name) for one in fields(Sample)}
    return Clip(**facts, upscale=upscale, track=track, making=making or Making())


def record_of(sample: Sample, outputs: Iterable[Path] = ()) -> dict[str, Any]:
    """What a file remembers of how it was made, enough to make it again.

    outputs: all files that are written together; a plan says so of those among its inputs.
    """
    plan = sample.plan
    upscale = sample.upscale if isinstance(sample, Clip) else None
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
        "software": f"{SOFTWARE} {VERSION}",
        "dtype": sample.dtype,
        "device": sample.device,
        "threads": sample.threads,
        "credentials": "C2PA" if can_sign() else "none",
        **({} if upscale is None else {"upscale": upscale}),
        "plan": plan_to_dict(plan, outputs),
    }


def write(sample: Sample, path: Path, outputs: Iterable[Path] = ()) -> dict[str, Any]:
    """Write a sample, whole or not at all, and return the record that it holds. Raises UserError."""
    record = record_of(sample, [*outputs, path])
    track = sample.track if isinstance(sample, Clip) else None
    write_video(sample.video, path, record, track=track, seal=sealed(sample, record, path))
    return record


def sealed(sample: Sample, record: dict[str, Any], path: Path) -> Callable[[Path], None] | None:
    """What signs a file under its temporary name; None where the packages for it are not installed."""
    if not can_sign():
        return None
    from sorairo.safety.credentials import sign

    making = sample.making if isinstance(sample, Clip) else Making()
    return partial(sign, claims=claims_of(sample, making, record), final=path)


def write_sheet(path: Path, samples: Sequence[Sample], frames_per: int = 6) -> str:
    """A contact sheet of the samples; seeds are named where there are several. Raises UserError.

    Returns a sentence for the user on characters that no font has; empty if all are shown.
    """
    several = len(samples) > 1
    captions = [
        f"{words_of(sample.plan)} (seed {sample.plan.seed})" if several else words_of(sample.plan)
        for sample in samples
    ]
    enlarged = any(isinstance(sample, Clip) and sample.upscale for sample in samples)
    scale = 1 if enlarged or frames_per == 1 else 2
    seal = sealed(samples[0], record_of(samples[0], [path]), path)
    videos = [sample.video for sample in samples]
    contact_sheet(videos, captions, path, frames_per=frames_per, scale=scale, seal=seal)
    return missing_note(captions)


def words_of(plan: Plan) -> str:
    """All words of a plan, in turn."""
    return " ".join(span.text for span in plan.spans)


def check_outputs(outputs: Sequence[Path], sheet: Path | None = None) -> None:
    """Refuse, before any work, what could not be written, and one place for two outputs. Raises UserError."""
    for path in outputs:
        check_writable(path)
    if sheet:
        check_sheet(sheet)
    seen: dict[Path, Path] = {}
    for path in (*outputs, *([sheet] if sheet else [])):
        real = path.resolve()
        if real in seen:
            raise UserError(
                f"{seen[real]} and {path} are one file, and two outputs would be written there; name another."
                if seen[real] != path
                else f"{path} is named for two outputs; give each a name of its own."
            )
        seen[real] = path
