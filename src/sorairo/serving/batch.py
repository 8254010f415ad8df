"""Batches: creates from a file of JSON lines, and their results in another."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from sorairo.serving import submit, wishes
from sorairo.serving.body import Body, parsed
from sorairo.serving.errors import ApiError, body_of
from sorairo.serving.keys import Caller
from sorairo.serving.moderation import check_wish
from sorairo.serving.queue import ENDS
from sorairo.serving.schema import video_json
from sorairo.serving.tables import Batch, File, Job, Once
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.serving.service import Service

__all__ = ["LINES", "batch_json", "enqueue", "finish_batches"]

LINES = 1000
"""Calls of one batch, at most."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of a batch that can be made."""

    name: str
    call: submit.Call
    wish: submit.Wish


def enqueue(here: Service, call: submit.Call, batch: Batch, data: bytes) -> Batch:
    """Queue every line that can be made, and the batch, in one transaction; the others are its `refused`.

    A call that came before gets the batch that it got then. Raises ApiError for a file that is no batch.
    """
    if before := _known(here, call):
        return before
    ready, refused, count = _read(here, call.caller, batch.id, data)
    with submit.accepting(here.database, here.settings, here.store, batch.project) as session:
        if before := _before(session, here, call):
            return before
        now = here.database.now(session)
        room = submit.Room(session, here.settings, call.caller, now)
        for line in ready:
            try:
                room.take(line.wish.charged)
            except ApiError as error:
                refused[line.name] = _refusal(error)
            else:
                session.add(submit.row(line.call, line.wish, now))
        batch.lines, batch.refused, batch.created = count, refused, now
        session.add(batch)
        key = call.key or f"{batch.id}\n0"  # an Idempotency-Key has no line break
        session.add(Once(project=batch.project, key=key, body=call.digest, job=batch.id, created=now))
    here.metrics.created.labels("generate").inc(count - len(refused))
    return batch


def _known(here: Service, call: submit.Call) -> Batch | None:
    """The batch of an earlier call, if this one is the same again: its pictures need not be fetched a second time."""
    with here.database.read() as session:
        return _before(session, here, call)


def _before(session: Session, here: Service, call: submit.Call) -> Batch | None:
    """By the key, or for a retry by the body: it names the file, which each upload gives another id."""
    found = None
    if call.key:
        found = submit.by_key(session, call)
    elif call.retry > 0:
        since = here.database.now(session) - here.settings.window
        mine = Once.project == call.caller.project, Once.body == call.digest, Once.created > since
        found = session.scalars(select(Once.job).where(*mine).order_by(Once.number.desc())).first()
    return session.scalars(select(Batch).where(Batch.id == found)).first() if found else None


def _read(here: Service, who: Caller, batch: str, data: bytes) -> tuple[list[Line], dict[str, Any], int]:
    """(what can be made, what was refused by custom_id, lines) of a file. Raises ApiError."""
    lines = [line for line in data.splitlines() if line.strip()]
    if not 1 <= len(lines) <= LINES:
        raise ApiError(400, f"A batch has 1 to {LINES} lines, not {len(lines)}.", param="input_file_id")
    ready: list[Line] = []
    refused: dict[str, Any] = {}
    seen: set[str] = set()
    for number, line in enumerate(lines, 1):
        name = f"line {number}"
        try:
            values = parsed(line)
            if isinstance(given := values.get("custom_id"), str) and given:
                name = given
            if name in seen:
                raise ApiError(400, f"custom_id {name!r} is there twice.")
            seen.add(name)
            if values.get("url") != "/v1/videos" or values.get("method", "POST") != "POST":
                raise ApiError(400, "A line has method POST and url /v1/videos.")
            if not isinstance(values.get("body"), dict):
                raise ApiError(400, "A line has a body.")
            wish = wishes.create(here, who, Body(values=values["body"]))
            check_wish(here.policy, here.database, who, wish)
            call = submit.Call(caller=who, digest=f"{batch}{number:06d}"[:64])
            ready.append(Line(name=name, call=call, wish=submit.replaced(wish, batch=batch, custom_id=name)))
        except (ApiError, UserError) as error:
            refused[name] = _refusal(error)
    return ready, refused, len(lines)


def _refusal(error: ApiError | UserError) -> dict[str, Any]:
    """What the errors' file says of a line."""
    if isinstance(error, ApiError):
        body = body_of(error.status, error.message, error.param, error.code, error.more)
        return {"status": error.status, "body": body}
    return {"status": 400, "body": body_of(400, str(error))}


def finish_batches(here: Service) -> None:
    """Write the results of the batches whose videos have all ended."""
    with here.database.read() as session:
        open_ones = list(
            session.scalars(select(Batch).where(Batch.status.in_(("in_progress", "cancelling"))))
        )
    for batch in open_ones:
        with here.database.read() as session:
            going = session.execute(
                select(func.count()).where(Job.batch == batch.id, Job.status.not_in(ENDS))
            ).scalar_one()
            if going:
                continue
            jobs = list(session.scalars(select(Job).where(Job.batch == batch.id).order_by(Job.number)))
            lines = [
                {
                    "id": f"batch_req_{job.id}",
                    "custom_id": job.custom_id,
                    "response": {"status_code": 200, "request_id": job.id, "body": video_json(session, job)},
                    "error": None,
                }
                for job in jobs
            ]
        refused = [
            {
                "id": f"batch_req_{batch.id}",
                "custom_id": name,
                "response": {"status_code": one["status"], "request_id": batch.id, "body": one["body"]},
                "error": None,
            }
            for name, one in batch.refused.items()
        ]
        who = Caller(key=batch.key, project=batch.project)
        output = _file(here, who, lines, f"{batch.id}_output.jsonl") if lines else None
        errors = _file(here, who, refused, f"{batch.id}_errors.jsonl") if refused else None
        with here.database.write() as session:
            row = session.scalars(select(Batch).where(Batch.id == batch.id).with_for_update()).one()
            if row.status in ("in_progress", "cancelling"):
                row.status = "cancelled" if row.status == "cancelling" else "completed"
                row.output, row.errors, row.finished = output, errors, here.database.now(session)


def _file(here: Service, who: Caller, lines: list[dict[str, Any]], name: str) -> str:
    data = "".join(json.dumps(line) + "\n" for line in lines).encode()
    file: File = here.inputs.plain(who, data, name, "batch_output")
    return file.id


def batch_json(here: Service, batch: Batch) -> dict[str, Any]:
    """A Batch."""
    with here.database.read() as session:
        query = select(Job.status, func.count()).where(Job.batch == batch.id).group_by(Job.status)
        counts = {status: count for status, count in session.execute(query)}
    ended = None if batch.finished is None else int(batch.finished)
    return {
        "id": batch.id,
        "object": "batch",
        "endpoint": batch.endpoint,
        "errors": None,
        "input_file_id": batch.input,
        "completion_window": batch.window,
        "status": batch.status,
        "output_file_id": batch.output,
        "error_file_id": batch.errors,
        "created_at": int(batch.created),
        "in_progress_at": int(batch.created),
        "expires_at": None,
        "finalizing_at": ended,
        "completed_at": ended if batch.status == "completed" else None,
        "failed_at": None,
        "expired_at": None,
        "cancelling_at": None,
        "cancelled_at": ended if batch.status == "cancelled" else None,
        "request_counts": {
            "total": batch.lines,
            "completed": counts.get("completed", 0),
            "failed": counts.get("failed", 0) + counts.get("cancelled", 0) + len(batch.refused),
        },
        "metadata": batch.note or None,
    }
