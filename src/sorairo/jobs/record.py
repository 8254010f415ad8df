"""The one door by which an output leaves: its frames, its sound, and the record of how it was made."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sorairo.jobs.making import Making, claims_of
from sorairo.jobs.plans import SOFTWARE, plan_to_dict
from sorairo.safety.fingerprints import Fingerprint, can_hash, fingerprint
from sorairo.safety.identity import can_sign, mark_key
from sorairo.safety.index import LocalIndex
from sorairo.safety.mark import SMALLEST, embed
from sorairo.types import Plan, Sample, UserError
from sorairo.version import VERSION
from sorairo.video.fonts import missing_note
from sorairo.video.sheet import check_sheet, contact_sheet
from sorairo.video.write import check_writable, write_video

__all__ = ["Clip", "Remember", "check_outputs", "clip_of", "record_of", "words_of", "write", "write_sheet"]


Remember = Callable[[Path, Fingerprint, int | None], None]


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


def write(
    sample: Sample, path: Path, outputs: Iterable[Path] = (), remember: Remember | None = None
) -> dict[str, Any]:
    """Write a sample, whole or not at all, and return the record that it holds. Raises UserError.

    remember: is given the path, the hashes of the frames and the mark's number; None puts them into this user's index.
    """
    record = record_of(sample, [*outputs, path])
    video, number = sample.video, None
    if isinstance(sample, Clip) and sample.making.mark and min(video.size) >= SMALLEST:
        number = int(hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()[:8], 16)
        record["mark"] = f"{number:08x}"
        video = replace(video, frames=with_mark(sample, number))
    track = sample.track if isinstance(sample, Clip) else None
    write_video(video, path, record, track=track, seal=sealed(sample, record, path))
    if can_hash():
        try:
            (remember or into_index)(path, fingerprint(video, middles=True), number)
        except UserError as error:  # the file is made, and whole
            logging.getLogger(__name__).warning("%s is not in the index: %s", path, error)
    return record


def with_mark(sample: Clip, number: int) -> np.ndarray:
    """The frames (t h w 3) with the invisible mark, but for those that were given and are promised to stay."""
    frames, key = sample.video.frames, mark_key()
    assert key is not None
    new = np.ones(len(frames), bool)
    if sample.upscale is None:
        for known in sample.plan.known:
            if known.hold == 1 and known.region is None:
                new[known.at : known.at + len(known.video)] = False
    made = frames.copy()
    made[new] = embed(frames[new], number, key) if new.any() else frames[new]
    return made


def into_index(path: Path, prints: Fingerprint, mark: int | None) -> None:
    LocalIndex().add(str(path.absolute()), prints, mark)


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
