"""/v1/sorairo/admin: what an admin sees and does beyond the own project."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query
from sqlalchemy import select

from sorairo.serving.catalog import public
from sorairo.serving.errors import missing
from sorairo.serving.keys import list_keys, revoke_key
from sorairo.serving.service import Admin, Here
from sorairo.serving.tables import Job
from sorairo.types import UserError

__all__ = ["router"]

router = APIRouter(prefix="/v1/sorairo/admin", tags=["admin"])


@router.get("/jobs")
def jobs(here: Here, who: Admin, limit: Annotated[int, Query(ge=1, le=1000)] = 100) -> dict[str, Any]:
    """The newest jobs of all projects, without their prompts and files, which stay the project's."""
    with here.database.read() as session:
        rows = session.scalars(select(Job).order_by(Job.number.desc()).limit(limit))
        data = [
            {
                "id": job.id,
                "project": job.project,
                "key": job.key,
                "verb": job.verb,
                "model": public(job.model),
                "status": job.status,
                "progress": job.progress,
                "worker": job.worker,
                "attempts": job.attempts,
                "created_at": int(job.created),
                "error": job.error_code,
            }
            for job in rows
        ]
    return {"object": "list", "data": data}


@router.get("/keys")
def keys(here: Here, who: Admin) -> dict[str, Any]:
    """All keys, without their secrets. New ones are made by `sorairo keys create` on the server alone."""
    return {"object": "list", "data": list_keys(here.database)}


@router.delete("/keys/{identity}")
def revoke(identity: str, here: Here, who: Admin) -> dict[str, Any]:
    """Refuse a key from now on."""
    try:
        revoke_key(here.database, identity.replace("\0", ""))
    except UserError as error:
        raise missing("key", identity) from error
    return {"id": identity, "revoked": True}
