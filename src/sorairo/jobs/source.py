"""An input file, opened once: its metadata, size, hash and frames, which travel on together."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from sorairo.jobs.plans import StoredPlan, file_sha256, stored_plan
from sorairo.types import Origin, Plan, UserError, Video
from sorairo.video.read import read_given, read_metadata, read_notes, read_size
from sorairo.video.sound import Sound

__all__ = ["Source", "kept_sounds"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """path: as it was typed; empty for frames that are in no file. facts: the file's metadata, whoever wrote them.
    size: (width, height) of the first frame, upright. notes: sentences on how the file is read (`read_notes`).
    stamp: the file's size and time of change when it was opened."""

    path: Path
    size: tuple[int, int]
    sha256: str = ""
    facts: dict[str, Any]
    frames: Video | None = None
    notes: tuple[str, ...] = ()
    stamp: tuple[int, int] = (0, 0)

    @classmethod
    def open(cls, path: str | Path) -> Source:
        """The facts of a file. Raises UserError for one that is missing, broken or too large."""
        path = Path(path)
        size, stamp = read_size(path), stamp_of(path)
        facts, notes = read_metadata(path), read_notes(path)
        return cls(path=path, size=size, facts=facts, sha256=file_sha256(path), notes=notes, stamp=stamp)

    @classmethod
    def of(cls, given: str | Path | Video) -> Source:
        """A file, or frames that are in memory."""
        if isinstance(given, Video):
            return cls(path=Path(), size=given.size, facts={}, frames=given)
        return cls.open(given)

    @cached_property
    def stored(self) -> StoredPlan | None:
        """The plan that the file carries; None if it was not made here. Raises UserError for a broken one."""
        return stored_plan(self.facts, self.path)

    def video(self, size: tuple[int, int], fps: float, fit: str = "crop", background: str = "white") -> Video:
        """The frames at a size (width, height) and rate, with their origin. Raises UserError."""
        if self.frames is not None:
            return self.frames
        video = read_given(self.path, size, fps, fit, background=background)
        return replace(
            video, origin=Origin(path=self.path, sha256=self.sha256, fit=fit, background=background)
        )

    def whole(self, background: str = "white") -> Video:
        """The frames of a picture at their own size, with their origin. Raises UserError."""
        if self.frames is not None:
            return self.frames
        video = read_given(self.path, self.size, 1.0, "stretch", background=background)
        origin = Origin(path=self.path, sha256=self.sha256, fit="stretch", background=background)
        return replace(video, origin=origin)

    def check_unchanged(self) -> None:
        """Raise UserError if the file is no longer the one that was opened."""
        if self.frames is None and stamp_of(self.path) != self.stamp:
            raise UserError(
                f"{self.path} was changed while it was read; try again when nothing writes to it."
            )

    def words(self, part: slice = slice(None)) -> str:
        """The words that the file was made from. part: which of them, where there are several in turn.

        Raises UserError where it does not say.
        """
        if self.stored is None:
            raise UserError(
                f"{self.path} does not hold the words that it was made from; say in words what happens, as PROMPT."
            )
        spans = self.stored.plan.spans[part]
        return " ".join(dict.fromkeys(span.text for span in spans))


def stamp_of(path: Path) -> tuple[int, int]:
    """(bytes, nanoseconds of the last change) of a file."""
    try:
        stat = path.stat()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); put it back.") from error
    return stat.st_size, stat.st_mtime_ns


def kept_sounds(plan: Plan) -> list[Sound]:
    """The parts of the input files' sound that go with a plan's known frames, where these are in the output."""
    clips = [known for known in plan.known if known.video.origin is not None and len(known.video) > 1]
    return [
        Sound(
            path=known.video.origin.path,
            start=known.video.origin.first / plan.fps,
            stop=(known.video.origin.first + len(known.video)) / plan.fps,
            at=known.at / plan.fps,
        )
        for known in clips
        if known.video.origin is not None
    ]
