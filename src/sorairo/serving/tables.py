"""The tables. Times are seconds since 1970. A change here needs a migration (migrations/versions)."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Float, Index, Integer, LargeBinary, String, Text, UniqueConstraint
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

__all__ = [
    "Base",
    "Batch",
    "Character",
    "Delivery",
    "Endpoint",
    "Event",
    "File",
    "Job",
    "Key",
    "Made",
    "Once",
]

NUMBER = BigInteger().with_variant(Integer, "sqlite")


class Base(DeclarativeBase):
    """number: the order of creation, also between rows of one instant."""

    type_annotation_map = {str: Text, float: Float, dict[str, Any]: JSON, list[str]: JSON}  # noqa: RUF012

    number: Mapped[int] = mapped_column(NUMBER, primary_key=True, autoincrement=True)


class Key(Base):
    """digest: SHA-256 of the key, which has 256 random bits: nothing slower is needed, see docs/serve.md."""

    __tablename__ = "keys"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    start: Mapped[str]
    name: Mapped[str]
    project: Mapped[str] = mapped_column(String(64))
    role: Mapped[str]
    limits: Mapped[dict[str, Any]]
    created: Mapped[float]
    revoked: Mapped[float | None]


class Job(Base):
    """status: queued, in_progress, completed, failed, cancelled. request: a jobs.Request whose sources are ids.

    token: the fence; it goes up with every claim, and only its holder may write. folder: of the delivered files in
    the store. said: what the caller asked for before it was mapped. facts: of the output. body: hash of the call.
    """

    __tablename__ = "jobs"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    status: Mapped[str] = mapped_column(String(16))
    verb: Mapped[str]
    request: Mapped[dict[str, Any]]
    said: Mapped[dict[str, Any]]
    model: Mapped[str]
    prompt: Mapped[str | None]
    size: Mapped[str]
    seconds: Mapped[str]
    charged: Mapped[float] = mapped_column(default=0.0)
    created: Mapped[float]
    started: Mapped[float | None]
    finished: Mapped[float | None]
    expires: Mapped[float | None]
    progress: Mapped[int] = mapped_column(default=0)
    stage: Mapped[str | None]
    step: Mapped[int] = mapped_column(default=0)
    steps: Mapped[int] = mapped_column(default=0)
    preview: Mapped[int] = mapped_column(default=0)
    worker: Mapped[str | None]
    lease: Mapped[float | None]
    token: Mapped[int] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    cancel: Mapped[bool] = mapped_column(default=False)
    reason: Mapped[str | None]
    error_code: Mapped[str | None]
    error: Mapped[str | None]
    folder: Mapped[str | None]
    facts: Mapped[dict[str, Any]]
    remixed_from: Mapped[str | None]
    character: Mapped[str | None]
    batch: Mapped[str | None] = mapped_column(String(64))
    custom_id: Mapped[str | None]
    body: Mapped[str] = mapped_column(String(64))
    deleted: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (
        Index("jobs_queue", "status", "number"),
        Index("jobs_project", "project", "number"),
        Index("jobs_body", "key", "body", "created"),
        Index("jobs_batch", "batch"),
    )


class Once(Base):
    """An Idempotency-Key that was used, and for which call."""

    __tablename__ = "once"
    project: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(255))
    body: Mapped[str] = mapped_column(String(64))
    job: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]
    __table_args__ = (UniqueConstraint("project", "key", name="once_key"),)


class File(Base):
    """An upload. path: in the store. facts: kind, width, height, frames, fps, seconds."""

    __tablename__ = "files"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    filename: Mapped[str]
    purpose: Mapped[str]
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str]
    path: Mapped[str]
    facts: Mapped[dict[str, Any]]
    created: Mapped[float]
    expires: Mapped[float | None]
    deleted: Mapped[bool] = mapped_column(default=False)
    __table_args__ = (Index("files_project", "project", "number"),)


class Character(Base):
    """A clip with a name and a consent: {by, at, statement}."""

    __tablename__ = "characters"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    file: Mapped[str] = mapped_column(String(64))
    consent: Mapped[dict[str, Any]]
    created: Mapped[float]
    revoked: Mapped[float | None]


class Endpoint(Base):
    """Where webhooks go. secret: "whsec_..."; it must be readable here, since it signs."""

    __tablename__ = "endpoints"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    name: Mapped[str]
    url: Mapped[str]
    types: Mapped[list[str]]
    secret: Mapped[str]
    created: Mapped[float]


class Event(Base):
    """Something that happened to a job, once: the pair (type, job) is unique."""

    __tablename__ = "events"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    type: Mapped[str] = mapped_column(String(64))
    object: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]
    __table_args__ = (UniqueConstraint("type", "object", name="events_once"),)


class Delivery(Base):
    """An event on its way to an endpoint. due: when it is tried next; None: it is over."""

    __tablename__ = "deliveries"
    event: Mapped[str] = mapped_column(String(64))
    endpoint: Mapped[str] = mapped_column(String(64))
    due: Mapped[float | None]
    tries: Mapped[int] = mapped_column(default=0)
    outcome: Mapped[str | None]
    __table_args__ = (UniqueConstraint("event", "endpoint", name="deliveries_once"),)


class Batch(Base):
    """Calls from a file of JSON lines. lines: of the whole file, refused ones too."""

    __tablename__ = "batches"
    id: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    key: Mapped[str] = mapped_column(String(64))
    status: Mapped[str]
    endpoint: Mapped[str]
    window: Mapped[str]
    input: Mapped[str]
    output: Mapped[str | None]
    errors: Mapped[str | None]
    lines: Mapped[int]
    refused: Mapped[dict[str, Any]]
    note: Mapped[dict[str, Any]]
    created: Mapped[float]
    finished: Mapped[float | None]


class Made(Base):
    """What a finished job's output looks like, kept when the job is deleted: hashes of frames, see safety/index."""

    __tablename__ = "made"
    job: Mapped[str] = mapped_column(String(64), unique=True)
    project: Mapped[str] = mapped_column(String(64))
    created: Mapped[float]
    mark: Mapped[int | None] = mapped_column(BigInteger)
    times: Mapped[bytes] = mapped_column(LargeBinary)
    hashes: Mapped[bytes] = mapped_column(LargeBinary)
