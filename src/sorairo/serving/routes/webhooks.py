"""/v1/webhook_endpoints: where events go. A secret is shown when it is made and never again."""

from __future__ import annotations

import base64
import secrets
import time
from typing import Any

from fastapi import APIRouter
from sqlalchemy import select

from sorairo.serving import wishes
from sorairo.serving.body import Body
from sorairo.serving.database import new_id
from sorairo.serving.errors import ApiError
from sorairo.serving.fetch import checked
from sorairo.serving.inputs import own
from sorairo.serving.routes.videos import clean
from sorairo.serving.service import Content, Here, Who, json_body
from sorairo.serving.tables import Delivery, Endpoint, Event

__all__ = ["router"]

router = APIRouter(prefix="/v1/webhook_endpoints", tags=["webhooks"])
TYPES = ("video.completed", "video.failed")
TEXT = {"type": "string"}
BODY = json_body(url=TEXT, name=TEXT, event_types={"type": "array", "items": TEXT})


def new_secret() -> str:
    return "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()


def endpoint_json(one: Endpoint, secret: bool = False) -> dict[str, Any]:
    values = {
        "id": one.id,
        "object": "webhook_endpoint",
        "created_at": int(one.created),
        "name": one.name,
        "url": one.url,
        "event_types": one.types or list(TYPES),
    }
    return values | ({"secret": one.secret, "signing_secret": one.secret} if secret else {})


def types_of(body: Body) -> list[str]:
    types = body.values.get("event_types", body.values.get("enabled_events", []))
    if not isinstance(types, list) or not all(one in TYPES for one in types):
        raise ApiError(400, f"event_types is a list of {' and '.join(TYPES)}.", param="event_types")
    return types


def url_of(body: Body, required: bool) -> str | None:
    url = wishes.text(body, "url", required=required, most=2000)
    if url:
        checked(url)
    return url


@router.post("", openapi_extra=BODY)
def create(here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Send events to a URL from now on."""
    one = Endpoint(
        id=new_id("we"),
        project=who.project,
        name=wishes.text(body, "name", most=200) or "",
        url=url_of(body, True) or "",
        types=types_of(body),
        secret=new_secret(),
        created=time.time(),
    )
    with here.database.write() as session:
        session.add(one)
    return endpoint_json(one, secret=True)


@router.get("")
def listed(here: Here, who: Who) -> dict[str, Any]:
    """The project's endpoints."""
    with here.database.read() as session:
        rows = session.scalars(
            select(Endpoint).where(Endpoint.project == who.project).order_by(Endpoint.number)
        )
        data = [endpoint_json(one) for one in rows]
    ends = {"first_id": data[0]["id"] if data else None, "last_id": data[-1]["id"] if data else None}
    return {"object": "list", "data": data, "has_more": False, **ends}


@router.get("/{endpoint_id}")
def retrieve(endpoint_id: str, here: Here, who: Who) -> dict[str, Any]:
    """An endpoint."""
    with here.database.read() as session:
        return endpoint_json(own(session, Endpoint, who, clean(endpoint_id)))


@router.post("/{endpoint_id}", openapi_extra=BODY)
def update(endpoint_id: str, here: Here, who: Who, body: Content) -> dict[str, Any]:
    """Change its URL, name or events."""
    url, name = url_of(body, False), wishes.text(body, "name", most=200)
    with here.database.write() as session:
        one = own(session, Endpoint, who, clean(endpoint_id))
        one.url, one.name = url or one.url, name or one.name
        if "event_types" in body.values or "enabled_events" in body.values:
            one.types = types_of(body)
    return endpoint_json(one)


@router.delete("/{endpoint_id}")
def delete(endpoint_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Send nothing there any more."""
    with here.database.write() as session:
        one = own(session, Endpoint, who, clean(endpoint_id))
        for way in session.scalars(select(Delivery).where(Delivery.endpoint == one.id)):
            session.delete(way)
        session.delete(one)
    return {"id": endpoint_id, "object": "webhook_endpoint.deleted", "deleted": True}


@router.post("/{endpoint_id}/rotate_secret")
def rotate(endpoint_id: str, here: Here, who: Who) -> dict[str, Any]:
    """A new secret; the old one signs no more."""
    with here.database.write() as session:
        one = own(session, Endpoint, who, clean(endpoint_id))
        one.secret = new_secret()
    return endpoint_json(one, secret=True)


@router.post("/{endpoint_id}/test")
def test(endpoint_id: str, here: Here, who: Who) -> dict[str, Any]:
    """Send a test event."""
    with here.database.write() as session:
        one = own(session, Endpoint, who, clean(endpoint_id))
        now = here.database.now(session)
        event = new_id("evt")
        session.add(
            Event(id=event, project=who.project, type="webhook.test", object=new_id("test"), created=now)
        )
        session.add(Delivery(event=event, endpoint=one.id, due=now, tries=0))
    return {"id": event, "object": "event", "type": "webhook.test", "created_at": int(now)}
