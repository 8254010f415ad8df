"""/v1/videos/characters: a clip with a name and a consent, which can be revoked at once."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter
from sqlalchemy import update

from sorairo.serving import wishes
from sorairo.serving.database import new_id
from sorairo.serving.errors import ApiError
from sorairo.serving.inputs import own
from sorairo.serving.moderation import blocked_as_api
from sorairo.serving.queue import fail
from sorairo.serving.routes.videos import clean
from sorairo.serving.service import FORM, Content, Here, Who, json_body
from sorairo.serving.tables import Character, Job

__all__ = ["router"]

router = APIRouter(prefix="/v1/videos/characters", tags=["characters"])


def character_json(one: Character) -> dict[str, Any]:
    return {
        "id": one.id,
        "object": "character",
        "created_at": int(one.created),
        "name": one.name,
        "sorairo": {"consent": one.consent, "revoked_at": one.revoked and int(one.revoked), "file": one.file},
    }


@router.post("", openapi_extra=json_body(name={"type": "string"}, video=FORM, consent={"type": "object"}))
def create(here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Keep a clip under a name. consent: {by, at, statement}; without one the caller states it by the call itself,
    unless the operator asks for more."""
    name = wishes.text(body, "name", required=True, most=80) or ""
    consent = body.values.get("consent")
    if consent is None and here.settings.consent:
        raise ApiError(400, "consent is missing: {by, at}, who agreed and when.", param="consent")
    if consent is not None and not (
        isinstance(consent, dict)
        and all(isinstance(consent.get(key), str) and consent[key] for key in ("by", "at"))
    ):
        raise ApiError(400, "consent has by and at, who agreed and when.", param="consent")
    source = here.inputs.reference(who, body, "video")
    if source is None:
        raise ApiError(400, "video is missing.", param="video", code="missing_required_parameter")
    blocked_as_api(here.policy, who, [name], param="name")
    now = time.time()
    stated = consent or {"by": f"key {who.key}", "at": str(int(now)), "statement": "by the call that made it"}
    one = Character(
        id=new_id("char"),
        project=who.project,
        name=name,
        file=source,
        consent=stated,
        created=now,
        revoked=None,
    )
    with here.database.write() as session:
        session.add(one)
    return character_json(one)


@router.get("/{character_id}")
def retrieve(character_id: str, here: Here, who: Who) -> dict[str, Any]:
    """A character of the caller's project."""
    with here.database.read() as session:
        return character_json(own(session, Character, who, clean(character_id)))


@router.delete("/{character_id}")
def revoke(character_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Revoke the consent: queued videos with the character fail now, and those being made are stopped."""
    with here.database.write() as session:
        one = own(session, Character, who, clean(character_id))
        now = here.database.now(session)
        one.revoked = one.revoked or now
        going = Job.character == one.id
        for job in session.query(Job).where(going, Job.status == "queued"):
            fail(session, job, "character_revoked", "The consent to the character was revoked.", now)
        session.execute(update(Job).where(going, Job.status == "in_progress").values(cancel=True))
    return {"id": one.id, "deleted": True, "object": "character.deleted"}
