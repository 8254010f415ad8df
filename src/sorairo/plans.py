"""A Plan as JSON, and the plan that a file carries: enough to make it again, without a pixel in it.

Known frames are written as references to the files that they came from. See docs/files.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields, make_dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from sorairo.config import from_dict, to_dict
from sorairo.types import Known, Plan, UserError, Video
from sorairo.video.read import read_given, read_metadata
from sorairo.video.sound import Sound

__all__ = [
    "VERSION",
    "Given",
    "Reference",
    "StoredPlan",
    "given_for",
    "kept_sound",
    "plan_from_dict",
    "plan_to_dict",
    "read_plan",
]

VERSION = 1
"""Of the JSON; a change that older readers would misunderstand adds one."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Given:
    """A file that a plan is made with, and its frames as `read_given` gave them with this `fit` and `background`."""

    path: Path
    video: Video
    fit: str = "crop"
    background: str = "white"

    @cached_property
    def sha256(self) -> str:
        """Of the file's bytes, in hex."""
        return file_sha256(self.path)


def given_for(
    path: Path, size: tuple[int, int], fps: float, fit: str = "crop", background: str = "white"
) -> Given:
    """A file for a plan of this size (width, height) and rate. Raises UserError."""
    video = read_given(path, size, fps, fit, background=background)
    return Given(path=path, video=video, fit=fit, background=background)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A Known whose frames are named: `frames` of them from number `first` of a file, at the plan's size and rate.

    path: as it was typed; empty for frames that stand in no file. sha256: of the file; without one, of the frames.
    fit, background: how it was read. at, hold, region: as in Known.
    """

    path: str
    sha256: str
    fit: str = "crop"
    background: str = "white"
    first: int = 0
    frames: int = 1
    at: int = 0
    hold: float = 1.0
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class StoredPlan:
    """What a file says of how it was made. plan: without its known frames, which `whole` fetches.

    upscale: by how much its frames were enlarged after they were made. folder: where the file is; files that the plan
    names are looked for there too.
    """

    plan: Plan
    known: tuple[Reference, ...] = ()
    model: str = ""
    software: str = ""
    upscale: int = 1
    folder: Path = Path()

    def whole(self) -> Plan:
        """The plan with its known frames. Raises UserError for a file that is gone or is not the same any more."""
        return replace(self.plan, known=tuple(self.fetched(one) for one in self.known))

    def fetched(self, one: Reference) -> Known:
        """The known frames that a reference names. Raises UserError."""
        if not one.path:
            raise UserError(
                f"The frames known from {one.at} on stand in no file, so they cannot be given again."
            )
        path = self.found(one)
        video = read_given(path, self.plan.size, self.plan.fps, one.fit, background=one.background)
        frames = video.frames[one.first : one.first + one.frames]
        if len(frames) < one.frames:
            raise UserError(f"{path} has no {one.first + one.frames} frames, which its plan asks for.")
        return Known(video=Video(frames=frames, fps=self.plan.fps), **place(one))

    def found(self, one: Reference) -> Path:
        """Where a file of the plan is now: as typed, or in the folder. Raises UserError."""
        places = (Path(one.path), self.folder / one.path, self.folder / Path(one.path).name)
        there = [path for path in places if path.is_file()]
        same = [path for path in there if file_sha256(path) == one.sha256]
        if not there:
            raise UserError(f"The plan needs {one.path}, which is not there; put it into {self.folder}.")
        if not same:
            raise UserError(f"{there[0]} is not the file that the plan was made with; put that one back.")
        return same[0]


def read_plan(path: str | Path) -> StoredPlan:
    """The plan that a file made here carries. Raises UserError for a file that cannot be read or carries none."""
    facts = read_metadata(path)
    if not isinstance(facts.get("plan"), dict):
        raise UserError(
            f"{path} carries no plan; files made by sorairo do, unless another program has written them anew."
        )
    plan, known = plan_from_dict(facts["plan"], where=f"{path}: plan")
    named = {name: str(facts[name]) for name in ("model", "software") if name in facts}
    upscale = facts["upscale"] if isinstance(facts.get("upscale"), int) else 1
    return StoredPlan(plan=plan, known=known, folder=Path(path).parent, upscale=upscale, **named)


def plan_to_dict(plan: Plan, given: Sequence[Given] = ()) -> dict[str, Any]:
    """A plan as JSON values, to be written beside its video. given: the files that its known frames are from."""
    known = [to_dict(reference(one, given)) for one in plan.known]
    return {"version": VERSION} | to_dict(replace(plan, known=())) | {"known": known}


def plan_from_dict(values: dict[str, Any], *, where: str = "plan") -> tuple[Plan, tuple[Reference, ...]]:
    """A plan without its known frames, and the references to these.

    Raises UserError for an unknown key, a wrong type and a version that is not this one.
    """
    version, known = values.get("version"), values.get("known", [])
    if version != VERSION:
        raise UserError(f"{where}: version {version} is not known here, only {VERSION}; update sorairo.")
    rest = {key: value for key, value in values.items() if key not in ("version", "known")}
    if not isinstance(known, list) or not all(isinstance(one, dict) for one in known):
        raise UserError(f"{where}: known: input should be a list of objects.")
    references = tuple(from_dict(Reference, one, where=f"{where}: known") for one in known)
    described = from_dict(described_plan(), rest, where=where)
    plan = Plan(**{field.name: getattr(described, field.name) for field in fields(described)})
    if not (plan.spans and plan.fps > 0 and plan.frames > 0 and min(plan.size) > 0):
        raise UserError(f"{where}: a plan has words, and a size, frames and a rate above 0.")
    return plan, references


@cache
def described_plan() -> type[Any]:
    """The class of a Plan's fields but its known frames, whose pixels have no form in JSON."""
    hints = get_type_hints(Plan)
    kept = [(one.name, hints[one.name], one) for one in fields(Plan) if one.name != "known"]
    return make_dataclass("Plan", kept, frozen=True, kw_only=True)


def kept_sound(plan: Plan, given: Sequence[Given]) -> list[Sound]:
    """The sound of the given frames that a plan is made with, where these stand in the clip."""
    references = [reference(known, given) for known in plan.known]
    return [
        Sound(
            path=Path(one.path),
            start=one.first / plan.fps,
            stop=(one.first + one.frames) / plan.fps,
            at=one.at / plan.fps,
        )
        for one in references
        if one.path and one.frames > 1
    ]


def reference(known: Known, given: Sequence[Given]) -> Reference:
    """Where known frames are from, found by the frames themselves, so that no task has to carry it along."""
    frames = known.video.frames
    named: dict[str, Any] = {
        "path": "",
        "sha256": hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest(),
    }
    for one in given:
        first = place_of(frames, one.video.frames)
        if first is not None:
            named = {"path": str(one.path), "sha256": one.sha256, "first": first}
            named |= {"fit": one.fit, "background": one.background}
            break
    return Reference(**named, frames=len(frames), **place(known))


def place(known: Known | Reference) -> dict[str, Any]:
    """All that a Known says but its frames."""
    return {one.name: getattr(known, one.name) for one in fields(Known) if one.name != "video"}


def place_of(frames: np.ndarray, among: np.ndarray) -> int | None:
    """The number from which on `frames` (t h w c) stand among others; None if they do not."""
    if frames.shape[1:] != among.shape[1:]:
        return None
    for start in range(len(among) - len(frames) + 1):
        if np.array_equal(frames[0], among[start]) and np.array_equal(
            frames, among[start : start + len(frames)]
        ):
            return start
    return None


def file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
