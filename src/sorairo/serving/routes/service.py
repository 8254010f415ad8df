"""Is it up, is it ready, what is counted, which models are there, and the page's session."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter
from sqlalchemy import text
from starlette.requests import Request as Call
from starlette.responses import JSONResponse, Response

from sorairo.serving import catalog
from sorairo.serving.errors import ApiError, missing
from sorairo.serving.keys import find_key
from sorairo.serving.service import COOKIE, Admin, Here, Who
from sorairo.version import VERSION

__all__ = ["router"]

router = APIRouter(tags=["service"])


@router.get("/health")
def health() -> dict[str, Any]:
    """The process answers."""
    return {"status": "ok", "version": VERSION}


@router.get("/ready")
def ready(here: Here) -> dict[str, Any]:
    """The database and the store answer."""
    with here.database.read() as session:
        session.execute(text("select 1"))
    if here.store.free() < here.settings.min_free:
        raise ApiError(503, "The disk is full.", code="disk_full")
    return {"status": "ready"}


@router.get("/metrics")
def metrics(here: Here, who: Admin) -> Response:
    """For Prometheus, which sends an admin's key as a bearer token where keys are needed."""
    return Response(here.metrics.page(here.database), media_type="text/plain; version=0.0.4")


@router.get("/v1/models")
def models(here: Here, who: Who) -> dict[str, Any]:
    """The real models; old names map to the first."""
    return {"object": "list", "data": catalog.models(here.settings)}


@router.get("/v1/models/{name:path}")
def model(name: str, here: Here, who: Who) -> dict[str, Any]:
    """One model; an old name gives the one that it maps to."""
    for one in catalog.models(here.settings):
        if one["id"] == name:
            return one
    if name in catalog.OLD:
        return catalog.models(here.settings)[0] | {"id": name}
    raise missing("model", name)


@router.post("/v1/sorairo/session")
def start_session(call: Call, here: Here) -> Response:
    """The page's key as a cookie that no script can read, for what cannot send headers."""
    secret = call.headers.get("authorization", "").partition(" ")[2].strip()
    found = find_key(here.database, secret) if secret else None
    if here.settings.keys and found is None:
        raise ApiError(401, "That key is not known here.", code="invalid_api_key")
    role = found.role if found else "admin"
    answer = JSONResponse({"role": role, "project": found.project if found else "local"})
    if found:
        secure = call.url.scheme == "https"
        answer.set_cookie(COOKIE, secret, httponly=True, samesite="strict", secure=secure, path="/")
    return answer


@router.delete("/v1/sorairo/session")
def end_session() -> Response:
    """Forget the cookie."""
    answer = JSONResponse({"deleted": True})
    answer.delete_cookie(COOKIE, path="/")
    return answer
