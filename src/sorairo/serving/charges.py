"""What a request is charged, and how large its output will be, before its job has run."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from sorairo.jobs.request import Request
from sorairo.serving.catalog import OFFICIAL, abilities
from sorairo.serving.tables import File, Job

__all__ = ["doubled", "estimate"]


def estimate(session: Session, request: Request, source: str | None) -> tuple[float, str, float]:
    """(seconds charged, size, seconds of the output) before the job has run."""
    able = abilities(request.model)
    said = (
        request.seconds
        if request.seconds is not None
        else (request.frames - 1) / able.fps
        if request.frames
        else None
    )
    size = request.size or "{}x{}".format(*able.sizes[0])
    job = session.scalars(select(Job).where(Job.id == source)).first() if source else None
    before = float(job.seconds) if job else 0.0
    default = (able.default_frames - 1) / able.fps
    if job and not request.size:
        size = job.size
    if request.verb == "extend":
        return said or default, size, before + (said or default)
    total = said if said is not None else (before or default)
    return max(total, 0.1), size, total


def doubled(session: Session, request: Request) -> tuple[float, str, float]:
    """The same for upscale, whose output is as long as its input and twice as wide and high."""
    (source,) = request.sources
    table = File if source.startswith("file_") else Job
    found = session.scalars(select(table).where(table.id == source)).one()
    width, height = found.facts.get("width"), found.facts.get("height")
    job = found if isinstance(found, Job) else None
    seconds = float(found.facts.get("seconds") or (job.seconds if job else 0.1))
    if job and (job.size in OFFICIAL or not width):
        return seconds, job.size, seconds
    return seconds, f"{2 * (width or 0)}x{2 * (height or 0)}", seconds
