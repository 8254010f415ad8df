"""From a checked call to a row of the queue: limits, idempotency, one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError
from sqlalchemy.orm import Session

from sorairo.jobs.request import Request
from sorairo.serving.database import Database, new_id
from sorairo.serving.errors import ApiError
from sorairo.serving.keys import Caller
from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store
from sorairo.serving.tables import Job, Once

__all__ = ["Call", "Room", "Wish", "accepting", "by_key", "full", "replaced", "row", "submit"]

DAY = 86400.0
RETRY = "retry"
"""Stands for the body in rows of Once that count retries."""
LATEST = 120
"""Seconds of the longest Retry-After: clients give up on longer ones."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """Who calls, with which body, and how it is told from others. retry: x-stainless-retry-count."""

    caller: Caller
    digest: str
    key: str | None = None
    retry: int = 0


@dataclass(frozen=True, kw_only=True)
class Wish:
    """A job to be. seconds, size: as the Video reports them. charged: seconds of video for the quota.
    kind: what stands for the verb where the job is no video that is listed ("image")."""

    request: Request
    size: str
    seconds: str
    charged: float
    said: dict[str, Any] = field(default_factory=dict)
    remixed_from: str | None = None
    character: str | None = None
    batch: str | None = None
    custom_id: str | None = None
    kind: str | None = None


def known(database: Database, settings: Settings, call: Call) -> Job | None:
    """The job of an earlier call, if this one is the same again. Raises ApiError 409."""
    if call.key or call.retry <= 0:
        with database.read() as session:
            return _known(session, database, settings, call)
    with database.write() as session:
        lock(session, database, call.caller.project)
        return _known(session, database, settings, call)


def _known(session: Session, database: Database, settings: Settings, call: Call) -> Job | None:
    if call.key:
        found = by_key(session, call)
        return session.scalars(select(Job).where(Job.id == found)).first() if found else None
    if call.retry <= 0:
        return None
    return _retried(session, database.now(session), settings.window, call)


def by_key(session: Session, call: Call) -> str | None:
    """The id of what an earlier call with this Idempotency-Key got. Raises ApiError 409 if that was another call."""
    mine = Once.project == call.caller.project, Once.key == call.key
    once = session.scalars(select(Once).where(*mine)).first()
    if once is None:
        return None
    if once.body != call.digest:
        raise ApiError(
            409,
            "This Idempotency-Key was used for another call; use a new one.",
            code="idempotency_key_reused",
            headers={"x-should-retry": "false"},
        )
    return once.job


def _retried(session: Session, now: float, window: float, call: Call) -> Job | None:
    """The newest job that this call may be the retry of; the match is written down.

    Two programs may mean two equal videos, so each count matches a job once, and only a job of a lower count.
    """
    mine = call.caller
    query = select(Job).where(
        Job.project == mine.project, Job.key == mine.key, Job.body == call.digest, Job.created > now - window
    )
    for job in session.scalars(query.order_by(Job.number.desc())):
        where = Once.project == mine.project, Once.job == job.id, Once.body == RETRY
        rows = list(session.scalars(select(Once).where(*where)))
        counts = {int(one.key.rsplit("\n", 1)[1]): one.created for one in rows}
        made_by = max((count for count, when in counts.items() if when == job.created), default=0)
        if made_by < call.retry and call.retry not in counts:
            session.add(_count(job, call.retry, now))
            return job
    return None


def _count(job: Job, retry: int, now: float) -> Once:
    """That a call of this retry count got the job. An Idempotency-Key has no line break, so they never meet."""
    return Once(project=job.project, key=f"{job.id}\n{retry}", body=RETRY, job=job.id, created=now)


def submit(database: Database, settings: Settings, store: Store, call: Call, wish: Wish) -> Job:
    """The job, new or, for a call that came before, the one that it got then. Raises ApiError 409, 429 and 503."""
    with accepting(database, settings, store, call.caller.project) as session:
        if before := _known(session, database, settings, call):
            return before
        now = database.now(session)
        Room(session, settings, call.caller, now).take(wish.charged)
        job = row(call, wish, now)
        session.add(job)
        if call.retry > 0 and not call.key:
            session.add(_count(job, call.retry, now))
        if call.key:
            session.add(Once(project=job.project, key=call.key, body=call.digest, job=job.id, created=now))
    return job


@contextmanager
def accepting(database: Database, settings: Settings, store: Store, project: str) -> Iterator[Session]:
    """A transaction that adds jobs of a project; one at a time. Raises ApiError 503 where the disk is full."""
    if store.free() < settings.min_free:
        raise full()
    try:
        with database.write() as session:
            lock(session, database, project)
            yield session
    except OperationalError as error:
        if isinstance(error.orig, sqlite3.OperationalError) and "full" in str(error.orig):
            raise full() from error
        raise


def full() -> ApiError:
    """No space is left: a new job is refused, and those that were accepted are kept."""
    return ApiError(
        503, "The server's disk is full; try again later.", code="disk_full", headers={"Retry-After": "60"}
    )


def lock(session: Session, database: Database, project: str) -> None:
    """One create of a project at a time. SQLite has one writer anyway."""
    if not database.sqlite:
        session.execute(select(func.pg_advisory_xact_lock(func.hashtext(project))))


def row(call: Call, wish: Wish, now: float) -> Job:
    """The row of a new job."""
    return Job(
        id=new_id("video"),
        project=call.caller.project,
        key=call.caller.key,
        status="queued",
        verb=wish.kind or wish.request.verb,
        request=wish.request.model_dump(mode="json"),
        said=wish.said,
        model=wish.request.model,
        prompt=wish.request.prompt,
        size=wish.size,
        seconds=wish.seconds,
        charged=wish.charged,
        created=now,
        progress=0,
        step=0,
        steps=0,
        preview=0,
        token=0,
        attempts=0,
        cancel=False,
        facts={},
        remixed_from=wish.remixed_from,
        character=wish.character,
        batch=wish.batch,
        custom_id=wish.custom_id,
        body=call.digest,
        deleted=False,
    )


class Room:
    """What a key may still ask for: read once in a transaction, then counted along."""

    def __init__(self, session: Session, settings: Settings, caller: Caller, now: float) -> None:
        def total(value: Any, *where: Any) -> float:
            return float(session.execute(select(value).where(*where)).scalar_one() or 0)

        mine, self.limits, self.settings, self.now = Job.key == caller.key, caller.limits, settings, now
        self.queued = total(func.count(Job.number), Job.status == "queued")
        self.going = self.created = self.used = self.first = 0.0
        if self.limits.get("jobs"):
            self.going = total(func.count(Job.number), mine, Job.status.in_(("queued", "in_progress")))
        if self.limits.get("creates"):
            lately = mine, Job.created > now - 60
            self.created = total(func.count(Job.number), *lately)
            self.first = total(func.min(Job.created), *lately) or now
        if self.limits.get("seconds"):
            self.used = total(func.sum(Job.charged), mine, Job.created > now - DAY, Job.status != "failed")

    def take(self, seconds: float) -> None:
        """Count one job more. Raises ApiError 429 where a key asks for more than it may, or the queue is full."""
        if self.queued >= self.settings.max_queued:
            raise busy("The queue is full; try again later.", 30, "queue_full")
        if (most := self.limits.get("jobs")) and self.going >= most:
            raise busy(f"This key may have {most:g} jobs at once; wait for one to end.", 10, "too_many_jobs")
        if (most := self.limits.get("creates")) and self.created >= most:
            wait = self.first + 60 - self.now
            raise busy(f"This key may start {most:g} jobs a minute.", wait, "rate_limit_exceeded")
        if (most := self.limits.get("seconds")) and self.used + seconds > most:
            said = f"This key may make {most:g} seconds of video a day, and {self.used:g} are used."
            raise busy(said, LATEST, "quota_exceeded")
        self.queued, self.going, self.created = self.queued + 1, self.going + 1, self.created + 1
        self.used += seconds


def busy(message: str, seconds: float, code: str) -> ApiError:
    """429. Retry-After stays within what clients wait for."""
    wait = max(1, min(LATEST, round(seconds)))
    return ApiError(429, message, code=code, headers={"Retry-After": str(wait)})


def replaced(wish: Wish, **changes: Any) -> Wish:
    """A wish with some fields changed."""
    return replace(wish, **changes)
