"""/v1/batches: many creates by one file."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from starlette.requests import Request as Call

from sorairo.serving import wishes
from sorairo.serving.batch import batch_json, enqueue
from sorairo.serving.database import new_id
from sorairo.serving.errors import ApiError, missing
from sorairo.serving.inputs import own
from sorairo.serving.queue import ENDS
from sorairo.serving.routes.videos import clean, stop
from sorairo.serving.service import Content, Here, Who, identity, json_body
from sorairo.serving.tables import Batch, File, Job

__all__ = ["router"]

router = APIRouter(prefix="/v1/batches", tags=["batches"])
TEXT = {"type": "string"}


@router.post("", openapi_extra=json_body(input_file_id=TEXT, endpoint=TEXT, completion_window=TEXT))
def create(call: Call, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Queue every line of an uploaded file of JSON lines."""
    source = wishes.text(body, "input_file_id", required=True) or ""
    endpoint = wishes.text(body, "endpoint", required=True)
    window = wishes.text(body, "completion_window") or "24h"
    if endpoint != "/v1/videos":
        raise ApiError(400, "endpoint is /v1/videos.", param="endpoint")
    note = body.values.get("metadata") or {}
    if not isinstance(note, dict):
        raise ApiError(400, "metadata is an object.", param="metadata")
    with here.database.read() as session:
        path = here.store.local(own(session, File, who, clean(source)).path)
    if path is None:
        raise missing("content of", source)
    batch = Batch(
        id=new_id("batch"),
        project=who.project,
        key=who.key,
        status="in_progress",
        endpoint=endpoint,
        window=window,
        input=source,
        note=note,
    )
    return batch_json(here, enqueue(here, identity(call, who, body), batch, path.read_bytes()))


@router.get("")
def listed(here: Here, who: Who) -> dict[str, Any]:
    """The project's last hundred batches."""
    with here.database.read() as session:
        query = select(Batch).where(Batch.project == who.project).order_by(Batch.number.desc()).limit(100)
        rows = list(session.scalars(query))
    data = [batch_json(here, one) for one in rows]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": False, **ends}


@router.get("/{batch_id}")
def retrieve(batch_id: str, here: Here, who: Who) -> dict[str, Any]:
    """A batch and how far it is."""
    with here.database.read() as session:
        batch = own(session, Batch, who, clean(batch_id))
    return batch_json(here, batch)


@router.post("/{batch_id}/cancel")
def cancel(batch_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Stop what has not ended."""
    with here.database.write() as session:
        batch = own(session, Batch, who, clean(batch_id))
        if batch.status == "in_progress":
            batch.status = "cancelling"
            for job in session.scalars(select(Job).where(Job.batch == batch.id, Job.status.not_in(ENDS))):
                stop(session, here, job)
    return batch_json(here, batch)
