"""/v1/images/generations: stills, made by the same queue; the call waits for them."""

from __future__ import annotations

import base64
import time
from dataclasses import replace
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select
from starlette.requests import Request as Call

from sorairo.serving import wishes
from sorairo.serving.errors import ApiError
from sorairo.serving.queue import ENDS
from sorairo.serving.service import Content, Here, Who, identity, json_body
from sorairo.serving.tables import Job

__all__ = ["router"]

router = APIRouter(prefix="/v1/images", tags=["images"])
LONGEST, MOST = 300.0, 10
"""Seconds that a call waits; pictures of one call."""


@router.post("/generations", openapi_extra=json_body(prompt={"type": "string"}, n={"type": "integer"}))
def generate(call: Call, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Make stills and return them as base64 PNG. A seed names the first; the others follow."""
    count = wishes.number(body, "n")
    count = 1 if count is None else count
    if not (count == int(count) and 1 <= count <= MOST):
        raise ApiError(400, f"n is a whole number from 1 to {MOST}.", param="n")
    wish, same = wishes.image(here, body), identity(call, who, body)
    jobs = []
    for index in range(int(count)):
        one, seed = wish.request, wish.request.seed
        if seed is not None:
            one = one.model_copy(update={"seed": seed + index})
        each = replace(
            same, digest=f"{same.digest[:60]}{index:04d}", key=same.key and f"{same.key[:240]}#{index}"
        )
        jobs.append(here.submit(each, replace(wish, request=one)).id)
    until = time.monotonic() + LONGEST
    while True:
        with here.database.read() as session:
            rows = list(session.scalars(select(Job).where(Job.id.in_(jobs)).order_by(Job.number)))
        if all(row.status in ENDS for row in rows):
            break
        if time.monotonic() > until:
            raise ApiError(503, "The pictures are not ready yet; ask again.", headers={"Retry-After": "30"})
        time.sleep(here.settings.poll)
    for row in rows:
        if row.status != "completed":
            raise ApiError(400, row.error or f"The picture was {row.status}.", code=row.error_code)
    paths = [here.store.local(f"{row.folder}/image.png") for row in rows]
    data = [
        {"b64_json": base64.b64encode(path.read_bytes()).decode(), "url": None, "revised_prompt": None}
        for path in paths
        if path
    ]
    return {"created": int(time.time()), "data": data}
