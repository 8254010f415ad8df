"""/v1/videos: OpenAI's Videos API, and cancelling."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from sqlalchemy import select
from starlette.requests import Request as Call
from starlette.responses import FileResponse, Response

from sorairo.serving import wishes
from sorairo.serving.errors import ApiError, missing
from sorairo.serving.inputs import own
from sorairo.serving.queue import ENDS, positions
from sorairo.serving.schema import video_json
from sorairo.serving.service import Content, Here, Service, Who, identity, json_body
from sorairo.serving.submit import Wish
from sorairo.serving.tables import Job

__all__ = ["router"]

router = APIRouter(prefix="/v1/videos", tags=["videos"])
VARIANTS = {
    "video": ("video.mp4", "video/mp4"),
    "thumbnail": ("thumbnail.webp", "image/webp"),
    "spritesheet": ("spritesheet.jpg", "image/jpeg"),
}
TEXT = {"type": "string"}


def shown(here: Service, job: Job) -> dict[str, Any]:
    with here.database.read() as session:
        return video_json(session, job)


def made(here: Service, call: Call, who: Any, body: Any, wish: Any) -> dict[str, Any]:
    """The answer to a create, the same one where it came before. wish: gives the Wish."""
    same = identity(call, who, body)
    job = here.before(same)
    if job is None:
        found: Wish = wish()
        job = here.submit(same, found)
    return shown(here, job)


@router.post(
    "", openapi_extra=json_body(prompt=TEXT, model=TEXT, seconds=TEXT, size=TEXT, input_reference={})
)
def create(call: Call, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Start a video from words, and a picture if there is one."""
    return made(here, call, who, body, lambda: wishes.create(here, who, body))


@router.post("/edits", openapi_extra=json_body(prompt=TEXT, video={}))
def edit(call: Call, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Start a video that is another one, changed by words."""
    return made(here, call, who, body, lambda: wishes.edit(here, who, body))


@router.post("/extensions", openapi_extra=json_body(prompt=TEXT, seconds=TEXT, video={}))
def extend(call: Call, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Start a video that goes on from another one."""
    return made(here, call, who, body, lambda: wishes.extend(here, who, body))


@router.post("/{video_id}/remix", openapi_extra=json_body(prompt=TEXT))
def remix(video_id: str, call: Call, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Start a video like another one, with one thing different."""
    return made(here, call, who, body, lambda: wishes.remix(here, who, body, video_id))


@router.get("")
def listed(
    here: Here,
    who: Who,
    after: str | None = None,
    limit: Annotated[int, Query(ge=0, le=100)] = 20,
    order: Literal["asc", "desc"] = "desc",
    verb: str | None = None,
    status: str | None = None,
    q: str | None = None,
) -> dict[str, Any]:
    """The project's videos, page by page."""
    with here.database.read() as session:
        query = select(Job).where(Job.project == who.project, Job.deleted.is_(False), Job.verb != "image")
        if after:
            query = query.where(
                Job.number < place(session, who, after)
                if order == "desc"
                else Job.number > place(session, who, after)
            )
        if verb:
            query = query.where(Job.verb == verb.replace("\0", ""))
        if status:
            query = query.where(Job.status == status.replace("\0", ""))
        if q:
            query = query.where(Job.prompt.icontains(q.replace("\0", ""), autoescape=True))
        query = query.order_by(Job.number.desc() if order == "desc" else Job.number.asc()).limit(limit + 1)
        jobs = list(session.scalars(query))
        places = positions(session, jobs)
        data = [video_json(session, job, places) for job in jobs[:limit]]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": len(jobs) > limit, **ends}


def place(session: Any, who: Any, after: str) -> int:
    """Where a page begins: also behind a video that was deleted since."""
    found = session.scalars(
        select(Job.number).where(Job.id == clean(after), Job.project == who.project)
    ).first()
    if found is None:
        raise ApiError(400, f"after: there is no video {after[:80]!r}.", param="after")
    return found


def clean(text: str) -> str:
    return text.encode("utf-8", "replace").decode().replace("\0", "")


@router.get("/{video_id}")
def retrieve(video_id: str, here: Here, who: Who, answer: Response) -> dict[str, Any]:
    """A video and how far it is."""
    with here.database.read() as session:
        job = own(session, Job, who, clean(video_id))
        answer.headers["openai-poll-after-ms"] = "500"
        return video_json(session, job)


@router.delete("/{video_id}")
def delete(video_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Delete a video; one that is being made is cancelled."""
    with here.database.write() as session:
        job = own(session, Job, who, clean(video_id))
        job.deleted = True
        stop(session, here, job)
        folder = job.folder
    if folder:
        here.store.remove(f"jobs/{job.id}")
    return {"id": job.id, "deleted": True, "object": "video.deleted"}


@router.post("/{video_id}/cancel")
def cancel(video_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Stop a video: at once while it waits, else within one step. One that has ended stays as it is."""
    with here.database.write() as session:
        job = own(session, Job, who, clean(video_id))
        stop(session, here, job)
        session.flush()
        return video_json(session, job)


def stop(session: Any, here: Service, job: Job) -> None:
    """Ask for the end of a job."""
    if job.status in ENDS:
        return
    job.cancel = True
    if job.status == "queued":
        job.status, job.finished = "cancelled", here.database.now(session)


@router.head("/{video_id}/content", include_in_schema=False)
@router.get("/{video_id}/content", response_class=FileResponse)
def content(
    video_id: str,
    here: Here,
    who: Who,
    variant: str = "video",
) -> Response:
    """The bytes: variant video, thumbnail, spritesheet or preview. Parts of them by Range."""
    with here.database.read() as session:
        job = own(session, Job, who, clean(video_id))
    if variant == "preview":
        return preview(here, job)
    if variant not in VARIANTS:
        raise ApiError(400, f"variant is one of {', '.join(VARIANTS)} and preview.", param="variant")
    if job.status != "completed" or not job.folder:
        raise ApiError(
            404 if job.status in ENDS else 409,
            f"The video is {job.status}, so there is nothing to download.",
            code="not_ready",
            headers={"x-should-retry": "false"},
        )
    name, kind = VARIANTS[variant]
    path = here.store.local(f"{job.folder}/{name}")
    if path is None:
        raise ApiError(404, "The video's files have expired.", code="expired")
    return FileResponse(
        path,
        media_type=kind,
        filename=f"{job.id}{path.suffix}",
        content_disposition_type="inline",
        headers={"Cache-Control": "private, max-age=3600"},
    )


def preview(here: Service, job: Job) -> Response:
    """The last picture of a video that is being made."""
    path = here.store.local(f"jobs/{job.id}/{job.token}/preview.webp")
    if path is None:
        raise missing("preview of", job.id)
    return FileResponse(path, media_type="image/webp", headers={"Cache-Control": "no-store"})
