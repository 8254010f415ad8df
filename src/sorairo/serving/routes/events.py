"""/v1/videos/{id}/events: progress as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

from fastapi import APIRouter
from sqlalchemy import select
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request as Call
from starlette.responses import StreamingResponse

from sorairo.serving.inputs import own
from sorairo.serving.queue import ENDS
from sorairo.serving.routes.videos import clean
from sorairo.serving.schema import progress_json
from sorairo.serving.service import Here, Service, Who
from sorairo.serving.tables import Job

__all__ = ["router"]

router = APIRouter(tags=["events"])
EVERY, PING = 0.25, 15.0
"""Seconds between two looks, and between two signs of life."""


def look(here: Service, identity: str) -> tuple[str, bool]:
    """(what there is to say, whether it is over)."""
    with here.database.read() as session:
        job = session.scalars(select(Job).where(Job.id == identity)).one()
        said = progress_json(session, job, here.database.now(session))
        said.pop("eta") if job.status in ENDS else None
        return json.dumps(said), job.status in ENDS


@router.get("/v1/videos/{video_id}/events", tags=["videos"], response_class=StreamingResponse)
def events(video_id: str, call: Call, here: Here, who: Who) -> StreamingResponse:
    """An event for every change, until the video is done."""
    with here.database.read() as session:
        identity = own(session, Job, who, clean(video_id)).id

    async def stream() -> AsyncIterator[str]:
        last, silent = "", 0.0
        while not await call.is_disconnected():
            said, over = await run_in_threadpool(look, here, identity)
            if said != last:
                last, silent = said, 0.0
                yield f"data: {said}\n\n"
            if over or call.app.state.keeper.stopped.is_set():
                return
            await asyncio.sleep(EVERY)
            silent += EVERY
            if silent >= PING:
                silent = 0.0
                yield ": still here\n\n"

    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(stream(), media_type="text/event-stream", headers=headers)
