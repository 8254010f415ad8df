"""The queue: one table with leases. A job is claimed, kept by heartbeats, and delivered once.

Every claim raises the job's token. Whoever writes names the token that it holds, so that a worker which slept past
its lease, and whose job another has taken, changes nothing any more. Making a video may so happen twice; its
delivery does not.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.engine import CursorResult
from sqlalchemy.orm import Session

from sorairo.safety.index import Entry
from sorairo.serving.database import Database, new_id
from sorairo.serving.tables import Character, Delivery, Endpoint, Event, Job, Made

__all__ = ["ENDS", "Lease", "Lost", "Queue", "announce", "position", "positions"]

ENDS = ("completed", "failed", "cancelled")
"""What a job ends as."""


class Lost(Exception):
    """The lease is gone: another worker has the job, or it is over."""


@dataclass(frozen=True, kw_only=True)
class Lease:
    """The right to work on a job, for as long as heartbeats come."""

    job: str
    token: int
    request: dict[str, Any]
    project: str
    key: str
    attempts: int
    size: str


class Queue:
    """lease: seconds between a heartbeat and the moment at which another worker may take the job. attempts: tries of a
    job whose workers die, before it is failed."""

    def __init__(self, database: Database, *, lease: float, attempts: int, expiry: float) -> None:
        self.database, self.lease, self.attempts, self.expiry = database, lease, attempts, expiry

    def claim(self, worker: str) -> Lease | None:
        """The oldest job that waits, or whose worker is gone; None if there is none."""
        while True:
            with self.database.write() as session:
                now = self.database.now(session)
                job = session.scalars(
                    select(Job)
                    .where(
                        or_(
                            Job.status == "queued",
                            and_(Job.status == "in_progress", Job.lease < now),
                        )
                    )
                    .order_by(Job.number)
                    .limit(1)
                    .with_for_update(skip_locked=True)
                ).first()
                if job is None:
                    return None
                if not self._may_start(session, job, now):
                    continue
                job.status, job.worker, job.lease = "in_progress", worker, now + self.lease
                job.token, job.attempts = job.token + 1, job.attempts + 1
                job.started = job.started or now
                job.stage, job.step, job.steps, job.progress, job.preview = "load", 0, 0, 0, 0
                return Lease(
                    job=job.id,
                    token=job.token,
                    request=job.request,
                    project=job.project,
                    key=job.key,
                    attempts=job.attempts,
                    size=job.size,
                )

    def _may_start(self, session: Session, job: Job, now: float) -> bool:
        """Ends a job that was cancelled, uses a revoked character, or has killed its workers too often."""
        if job.cancel:
            end(session, job, "cancelled", now)
        elif job.attempts >= self.attempts:
            reason = job.reason or "its worker ended without a word, perhaps for lack of memory"
            fail(session, job, "attempts_exhausted", f"Tried {job.attempts} times: {reason}.", now)
        elif (
            job.character
            and session.scalars(select(Character.revoked).where(Character.id == job.character)).first()
        ):
            fail(session, job, "character_revoked", "The consent to the character was revoked.", now)
        else:
            return True
        return False

    def beat(self, lease: Lease, **progress: Any) -> bool:
        """Keep a lease and note progress (columns of Job). Returns whether the job should stop. Raises Lost."""
        with self.database.write() as session:
            values = {"lease": self.database.now(session) + self.lease, **progress}
            change = update(Job).where(held(lease)).values(**values).returning(Job.cancel)
            options = {"synchronize_session": False}  # no row is in this session
            found = session.execute(change, execution_options=options).first()
        if found is None:
            raise Lost
        return bool(found[0])

    def asked_to_stop(self, lease: Lease) -> bool:
        """Whether the job should stop, without a word to the database's one writer. Raises Lost."""
        with self.database.engine.connect() as line:
            found = line.execute(select(Job.cancel).where(held(lease))).first()
        if found is None:
            raise Lost
        return bool(found[0])

    def deliver(self, lease: Lease, folder: str, made: Entry | None = None, **columns: Any) -> None:
        """The job is done and its files lie in `folder` of the store. made: for the index. Raises Lost."""
        with self.database.write() as session:
            now = self.database.now(session)
            done = {"status": "completed", "progress": 100, "stage": None, "lease": None, "finished": now}
            self._change(session, lease, {**done, "expires": now + self.expiry, "folder": folder, **columns})
            if made is not None:
                times, hashes = made.blobs()
                row = {"created": now, "mark": made.mark, "times": times, "hashes": hashes}
                session.add(Made(job=lease.job, project=lease.project, **row))
            announce(session, lease.project, "video.completed", lease.job, now)

    def fail(self, lease: Lease, code: str, message: str) -> None:
        """The job failed for a reason that another try would meet again. Raises Lost."""
        with self.database.write() as session:
            job = self._held(session, lease)
            fail(session, job, code, message, self.database.now(session))

    def cancelled(self, lease: Lease) -> None:
        """The worker has stopped, as it was told. Raises Lost."""
        with self.database.write() as session:
            end(session, self._held(session, lease), "cancelled", self.database.now(session))

    def hand_back(self, lease: Lease, reason: str | None = None) -> None:
        """Another worker may have the job. reason: what went wrong; None if nothing did, which counts as no try."""
        with self.database.write() as session:
            job = self._held(session, lease)
            job.status, job.lease, job.worker, job.stage = "queued", None, None, None
            job.progress = job.step = job.steps = 0
            job.reason = reason or job.reason
            if reason is None:
                job.attempts -= 1

    def _held(self, session: Session, lease: Lease) -> Job:
        job = session.scalars(select(Job).where(held(lease)).with_for_update()).first()
        if job is None:
            raise Lost
        return job

    def _change(self, session: Session, lease: Lease, values: dict[str, Any]) -> None:
        done = session.execute(update(Job).where(held(lease)).values(**values))
        assert isinstance(done, CursorResult)
        if done.rowcount != 1:
            raise Lost


def held(lease: Lease) -> ColumnElement[bool]:
    """That a job is still the lease's."""
    return and_(Job.id == lease.job, Job.token == lease.token, Job.status == "in_progress")


def end(session: Session, job: Job, status: str, now: float) -> None:
    """A job is over."""
    job.status, job.finished, job.lease, job.stage = status, now, None, None


def fail(session: Session, job: Job, code: str, message: str, now: float) -> None:
    """A job failed, and whoever listens is told."""
    end(session, job, "failed", now)
    job.error_code, job.error = code, message
    announce(session, job.project, "video.failed", job.id, now)


def announce(session: Session, project: str, kind: str, job: str, now: float) -> None:
    """Write an event and its way to every endpoint that wants it, in the transaction that made it true."""
    event = new_id("evt")
    session.add(Event(id=event, project=project, type=kind, object=job, created=now))
    for endpoint in session.scalars(select(Endpoint).where(Endpoint.project == project)):
        if not endpoint.types or kind in endpoint.types:
            session.add(Delivery(event=event, endpoint=endpoint.id, due=now, tries=0))


def position(session: Session, job: Job) -> int | None:
    """How many jobs are before a queued one; None for others."""
    return positions(session, [job]).get(job.id)


def positions(session: Session, jobs: Sequence[Job]) -> dict[str, int]:
    """How many jobs are before each of those that are queued, in one query."""
    waiting = [job for job in jobs if job.status == "queued"]
    if not waiting:
        return {}
    last = max(job.number for job in waiting)
    query = select(Job.number).where(Job.status == "queued", Job.number <= last).order_by(Job.number)
    numbers = list(session.scalars(query))
    return {job.id: bisect_left(numbers, job.number) for job in waiting}
