"""Sending webhooks, signed as Standard Webhooks say, retried with back-off for a day."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from sqlalchemy import select

from sorairo.serving.database import Database
from sorairo.serving.fetch import call
from sorairo.serving.tables import Delivery, Endpoint, Event
from sorairo.types import UserError

__all__ = ["WAITS", "send_due"]

log = logging.getLogger("sorairo.serving")

WAITS = (5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800, 28800)
"""Seconds after each failed try; after the last it is given up."""
CLAIM = 60.0
"""Seconds for which a sender has a delivery for itself."""


def send_due(database: Database, *, private: bool) -> int:
    """Send what is due; returns how many tries there were. An id may arrive twice, as the standard allows, if a sender
    dies between sending and noting it; receivers tell by `webhook-id`."""
    tries = 0
    while tries < 100:
        with database.write() as session:
            now = database.now(session)
            way = session.scalars(
                select(Delivery)
                .where(Delivery.due.is_not(None), Delivery.due <= now)
                .order_by(Delivery.due)
                .limit(1)
                .with_for_update(skip_locked=True)
            ).first()
            if way is None:
                return tries
            event = session.scalars(select(Event).where(Event.id == way.event)).one()
            endpoint = session.scalars(select(Endpoint).where(Endpoint.id == way.endpoint)).first()
            way.due, way.tries = now + CLAIM, way.tries + 1
        tries += 1
        outcome = _send(event, endpoint, now, private) if endpoint else "gone"
        with database.write() as session:
            row = session.scalars(select(Delivery).where(Delivery.number == way.number)).first()
            if row is None:
                continue
            row.outcome = outcome
            over = outcome in ("sent", "gone") or row.tries > len(WAITS)
            row.due = None if over else database.now(session) + WAITS[row.tries - 1]
    return tries


def _send(event: Event, endpoint: Endpoint, now: float, private: bool) -> str:
    """One try: "sent", or what went wrong."""
    from standardwebhooks.webhooks import Webhook

    body = json.dumps(
        {
            "id": event.id,
            "object": "event",
            "created_at": int(event.created),
            "type": event.type,
            "data": {"id": event.object},
        }
    )
    stamp = datetime.fromtimestamp(int(now), tz=UTC)
    headers = {
        "Content-Type": "application/json",
        "webhook-id": event.id,
        "webhook-timestamp": str(int(now)),
        "webhook-signature": Webhook(endpoint.secret).sign(event.id, stamp, body),
    }
    try:
        status = call(endpoint.url, body.encode(), headers, private=private)
    except UserError as error:
        return str(error)
    return "sent" if 200 <= status < 300 else f"answered {status}"
