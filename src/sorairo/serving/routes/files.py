"""/v1/files: uploads that calls name by id."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import select
from starlette.responses import FileResponse, Response

from sorairo.serving import wishes
from sorairo.serving.errors import ApiError, missing
from sorairo.serving.inputs import own
from sorairo.serving.routes.videos import clean
from sorairo.serving.schema import file_json
from sorairo.serving.service import FORM, Content, Here, Who, json_body
from sorairo.serving.tables import File

__all__ = ["router"]

router = APIRouter(prefix="/v1/files", tags=["files"])


@router.post("", openapi_extra=json_body(file=FORM, purpose={"type": "string"}))
def upload(here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Keep a picture or clip, or with purpose=batch a file of JSON lines."""
    sent = body.uploads.get("file")
    if sent is None:
        raise ApiError(400, "file is missing; send it as multipart/form-data.", param="file")
    purpose = wishes.text(body, "purpose", most=64) or "vision"
    keep = here.inputs.plain if purpose == "batch" else here.inputs.media
    return file_json(keep(who, sent.data, sent.name, purpose))


@router.get("")
def listed(
    here: Here,
    who: Who,
    after: str | None = None,
    limit: Annotated[int, Query(ge=1, le=10_000)] = 1000,
    order: Literal["asc", "desc"] = "desc",
    purpose: str | None = None,
) -> dict[str, Any]:
    """The project's files, page by page."""
    with here.database.read() as session:
        query = select(File).where(File.project == who.project, File.deleted.is_(False))
        if purpose:
            query = query.where(File.purpose == clean(purpose))
        if after:
            start = own(session, File, who, clean(after)).number
            query = query.where(File.number < start if order == "desc" else File.number > start)
        query = query.order_by(File.number.desc() if order == "desc" else File.number.asc()).limit(limit + 1)
        files = list(session.scalars(query))
    data = [file_json(one) for one in files[:limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": len(files) > limit, **ends}


@router.get("/{file_id}")
def retrieve(file_id: str, here: Here, who: Who) -> dict[str, Any]:
    """What a file is."""
    with here.database.read() as session:
        return file_json(own(session, File, who, clean(file_id)))


@router.delete("/{file_id}")
def delete(file_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Delete a file. A queued video that needs it fails and says so."""
    with here.database.write() as session:
        file = own(session, File, who, clean(file_id))
        file.deleted = True
    here.store.remove(file.path)
    here.store.remove(f"{file.path}.webp")
    return {"id": file.id, "object": "file", "deleted": True}


@router.head("/{file_id}/content", include_in_schema=False)
@router.get("/{file_id}/content", response_class=FileResponse)
def content(file_id: str, here: Here, who: Who, variant: str = "file") -> Response:
    """The bytes, as they came; variant=thumbnail: a small picture."""
    with here.database.read() as session:
        file = own(session, File, who, clean(file_id))
    small = variant == "thumbnail"
    path = here.store.local(f"{file.path}.webp" if small else file.path)
    if path is None:
        raise missing("content of", file_id)
    # what a stranger uploaded is never shown as a page of ours
    kind = "image/webp" if small else "application/octet-stream"
    headers = {
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, max-age=3600",
    }
    return FileResponse(path, media_type=kind, filename=None if small else file.filename, headers=headers)
