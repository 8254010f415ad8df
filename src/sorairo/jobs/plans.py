"""A Plan as JSON, and the plan that a file carries: enough to make it again, without a pixel in it.

Known frames are written as references to the files that they came from. See docs/files.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, fields, make_dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np

from sorairo.config import from_dict, to_dict
from sorairo.types import Known, Plan, UserError, Video
from sorairo.video.read import read_given, read_metadata, read_size

__all__ = [
    "SOFTWARE",
    "VERSION",
    "Reference",
    "StoredPlan",
    "file_sha256",
    "plan_from_dict",
    "plan_to_dict",
    "read_plan",
    "stored_plan",
    "written",
]

VERSION = 1
"""Of the JSON; a change that older readers would misunderstand adds one."""

LATER = {"shift": None, "sampler": None, "references": [], "control": None, "control_scale": 1.0}
LATER |= {"scene": None}
"""Fields of a Plan that readers of the first version refuse; these values are left out."""
FRAMES = ("known", "references", "control")
"""Fields of a Plan that hold frames, which have no form in JSON."""

SOFTWARE = "sorairo"
"""How the name of the program begins in a record of ours."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """A Known whose frames are named: `frames` of them from number `first` of a file, at the plan's size and rate.

    path: as it was typed; empty for frames that are in no file. sha256: of the file; without one, of the frames.
    fit, background: how it was read. at, hold, region: as in Known. replaced: the output was written over this file,
    so that the frames are gone.
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
    replaced: bool = False


@dataclass(frozen=True, kw_only=True)
class StoredPlan:
    """What a file says of how it was made. plan: without its frames, which `whole` fetches. known, references, control:
    what these were.

    upscale: by how much its frames were enlarged after they were made. dtype, device, threads: see Sample. folder:
    where the file is; files that the plan names are looked for there too.
    """

    plan: Plan
    known: tuple[Reference, ...] = ()
    references: tuple[Reference, ...] = ()
    control: Reference | None = None
    model: str = ""
    software: str = ""
    upscale: int = 1
    dtype: str = ""
    device: str = ""
    threads: int = 0
    folder: Path = Path()

    def whole(self) -> Plan:
        """The plan with its frames. Raises UserError for a file that is gone or is not the same any more."""
        return replace(
            self.plan,
            known=tuple(self.fetched(one) for one in self.known),
            references=tuple(self.fetched(one, own_size=True).video for one in self.references),
            control=self.fetched(self.control).video if self.control else None,
        )

    def fetched(self, one: Reference, *, own_size: bool = False) -> Known:
        """The frames that a reference names, at the plan's size or the file's own. Raises UserError."""
        if one.replaced:
            raise UserError(
                f"{one.path} was overwritten by its own output, so it cannot be made again; "
                "put the old file back under another name and give that."
            )
        if not one.path:
            raise UserError(
                f"The frames known from {one.at} on are in no file, so they cannot be read again."
            )
        path = self.found(one)
        size = read_size(path) if own_size else self.plan.size
        video = read_given(path, size, self.plan.fps, one.fit, background=one.background)
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
    stored = stored_plan(read_metadata(path), Path(path))
    if stored is None:
        raise UserError(
            f"{path} carries no plan; files made by sorairo do, unless another program has written them again."
        )
    return stored


def stored_plan(facts: dict[str, Any], path: Path) -> StoredPlan | None:
    """The plan in a file's metadata; None where they are not a record of ours, since others write keys like ours.

    A record is ours by its software's name, or, as the first version's Python wrote it, without one and with a plan
    that is right in every key. Raises UserError for a record of ours that is broken or of a later version.
    """
    software, values = facts.get("software"), facts.get("plan")
    if not isinstance(values, dict):
        return None
    named = isinstance(software, str) and software.split(" ")[0] == SOFTWARE
    if software is not None and not named:
        return None
    try:
        plan, frames = plan_from_dict(values, where=f"{path}: plan")
    except UserError:
        if named:
            raise
        return None
    texts = {name: str(facts[name]) for name in ("model", "software", "dtype", "device") if name in facts}
    numbers = {name: facts[name] for name in ("upscale", "threads") if isinstance(facts.get(name), int)}
    return StoredPlan(plan=plan, folder=path.parent, **frames, **texts, **numbers)


def plan_to_dict(plan: Plan, replaced: Iterable[Path] = ()) -> dict[str, Any]:
    """A plan as JSON values, to be written beside its video. replaced: files that are about to be written over."""
    gone = {path.resolve() for path in replaced}
    known = [written(reference(one, gone)) for one in plan.known]
    shown = [written(reference(Known(video=one), gone)) for one in plan.references]
    values = to_dict(replace(plan, known=(), references=(), control=None)) | {"references": shown}
    if plan.control:
        values["control"] = written(reference(Known(video=plan.control), gone))
    # written only where they are set, since older readers do not know them
    values = {key: value for key, value in values.items() if key not in LATER or value != LATER[key]}
    return {"version": VERSION} | values | {"known": known}


def written(one: Reference) -> dict[str, Any]:
    """A reference as JSON values. `replaced` is written only where it is so, since older readers do not know it."""
    values = to_dict(one)
    if not one.replaced:
        del values["replaced"]
    return values


def plan_from_dict(values: dict[str, Any], *, where: str = "plan") -> tuple[Plan, dict[str, Any]]:
    """A plan without its frames, and the references to these by the names of StoredPlan.

    Raises UserError for an unknown key, a wrong type and a version that is not this one.
    """
    version = values.get("version")
    if version != VERSION:
        raise UserError(f"{where}: version {version} is not known here, only {VERSION}; update sorairo.")
    rest = {key: value for key, value in values.items() if key not in ("version", *FRAMES)}
    frames: dict[str, Any] = {name: _references(values.get(name, []), name, where) for name in FRAMES[:2]}
    if values.get("control") is not None:
        (frames["control"],) = _references([values["control"]], "control", where)
    described = from_dict(described_plan(), rest, where=where)
    plan = Plan(**{field.name: getattr(described, field.name) for field in fields(described)})
    if not (plan.spans and plan.fps > 0 and plan.frames > 0 and min(plan.size) > 0):
        raise UserError(f"{where}: a plan has words, and a size, frames and a rate above 0.")
    if plan.fps > 1000 or plan.frames > 1_000_000 or max(plan.size) > 16384:
        raise UserError(f"{where}: its size, frames or rate are beyond what any video has.")
    return plan, frames


def _references(given: Any, name: str, where: str) -> tuple[Reference, ...]:
    if not isinstance(given, list) or not all(isinstance(one, dict) for one in given):
        raise UserError(f"{where}: {name}: input should be a list of objects.")
    return tuple(from_dict(Reference, one, where=f"{where}: {name}") for one in given)


@cache
def described_plan() -> type[Any]:
    """The class of a Plan's fields without those that hold frames."""
    hints = get_type_hints(Plan)
    kept = [(one.name, hints[one.name], one) for one in fields(Plan) if one.name not in FRAMES]
    return make_dataclass("Plan", kept, frozen=True, kw_only=True)


def reference(known: Known, gone: set[Path]) -> Reference:
    """Where known frames are from, by the origin that they carry."""
    origin, count = known.video.origin, len(known.video)
    if origin is None:
        digest = hashlib.sha256(np.ascontiguousarray(known.video.frames).tobytes()).hexdigest()
        return Reference(path="", sha256=digest, frames=count, **place(known))
    return Reference(
        path=str(origin.path),
        sha256=origin.sha256,
        fit=origin.fit,
        background=origin.background,
        first=origin.first,
        frames=count,
        replaced=origin.path.resolve() in gone,
        **place(known),
    )


def place(known: Known | Reference) -> dict[str, Any]:
    """All that a Known says but its frames."""
    return {one.name: getattr(known, one.name) for one in fields(Known) if one.name != "video"}


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
