"""Rows as OpenAI's objects. Every field of theirs is there, null where nothing is known; ours are under `sorairo`."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from sorairo.jobs.request import Request
from sorairo.serving.catalog import public
from sorairo.serving.queue import position, positions
from sorairo.serving.tables import File, Job

__all__ = ["file_json", "progress_json", "video_json"]


def whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def error_json(job: Job) -> dict[str, str] | None:
    return (
        {"code": job.error_code or "failed", "message": job.error or ""} if job.status == "failed" else None
    )


def request_json(job: Job) -> dict[str, Any]:
    """What `POST /v1/sorairo/{verb}` takes for the same again: the fields that are not as they are by default."""
    told = {"verb": job.request.get("verb"), "model": public(job.model)}
    args = {name: value for name, value in (job.request.get("args") or {}).items() if value is not None}
    for name, value in (job.request | {"args": args}).items():
        if name not in told and value not in (Request.model_fields[name].get_default(), [], {}):
            told[name] = value
    return told


def video_json(session: Session, job: Job, places: dict[str, int] | None = None) -> dict[str, Any]:
    """A Video. places: see queue.positions, where it is known already."""
    places = positions(session, [job]) if places is None else places
    return {
        "id": job.id,
        "object": "video",
        "model": job.said.get("model") or public(job.model),
        "status": job.status,
        "progress": job.progress,
        "created_at": int(job.created),
        "completed_at": whole(job.finished) if job.status == "completed" else None,
        "expires_at": whole(job.expires),
        "prompt": job.prompt,
        "seconds": job.seconds,
        "size": job.size,
        "remixed_from_video_id": job.remixed_from,
        "error": error_json(job),
        "sorairo": {
            "verb": job.verb,
            "model": public(job.model),
            "request": request_json(job),
            "stage": job.stage,
            "step": job.step,
            "of": job.steps,
            "queue_position": places.get(job.id),
            "seed": job.facts.get("seed", job.request.get("seed")),
            "frames": job.facts.get("frames"),
            "fps": job.facts.get("fps"),
            "actual_size": job.facts.get("size"),
            "seconds": job.facts.get("seconds"),
            "requested": job.said,
            "notes": [*job.said.get("notes", []), *job.facts.get("notes", [])],
            "remixed_from": job.remixed_from,
            "timings": job.facts.get("timings"),
            "moderation": job.facts.get("moderation"),
            "outputs": 1,
        },
    }


def progress_json(session: Session, job: Job, now: float) -> dict[str, Any]:
    """What an event of the stream says."""
    preview = f"/v1/videos/{job.id}/content?variant=preview&step={job.preview}" if job.preview else None
    spent = now - job.started if job.started else 0
    running = job.status == "in_progress" and job.progress > 2
    return {
        "id": job.id,
        "status": job.status,
        "progress": job.progress,
        "stage": job.stage,
        "step": job.step,
        "of": job.steps,
        "queue_position": position(session, job),
        "preview": preview,
        "eta": round(spent * (100 - job.progress) / job.progress, 1) if running else None,
        "error": error_json(job),
    }


def file_json(file: File) -> dict[str, Any]:
    """A File."""
    return {
        "id": file.id,
        "object": "file",
        "bytes": file.bytes,
        "created_at": int(file.created),
        "expires_at": whole(file.expires),
        "filename": file.filename,
        "purpose": file.purpose,
        "status": "processed",
        "status_details": None,
        "sorairo": file.facts or None,
    }
