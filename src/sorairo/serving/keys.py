"""API keys: created, listed, revoked, and who a call is from."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select

from sorairo.serving.database import Database, new_id
from sorairo.serving.tables import Key
from sorairo.types import UserError

__all__ = ["LOCAL", "ROLES", "Caller", "create_key", "find_key", "list_keys", "revoke_key"]

ROLES = ("creator", "admin", "red-team")


@dataclass(frozen=True, kw_only=True)
class Caller:
    """Who calls. limits: calls and creates a minute, seconds of video a day, jobs at once; absent: no limit."""

    key: str
    project: str
    role: str = "creator"
    limits: dict[str, float] = field(default_factory=dict)


LOCAL = Caller(key="local", project="local", role="admin")
"""Whoever calls a server that needs no keys."""


def digest_of(secret: str) -> str:
    """SHA-256: a key has 256 random bits, so that guessing is hopeless and a slow hash would only slow every call."""
    return hashlib.sha256(secret.encode()).hexdigest()


def create_key(
    database: Database, name: str, *, project: str = "", role: str = "creator", limits: dict[str, float]
) -> tuple[str, str]:
    """(id, the key itself, which is nowhere else from now on). Raises UserError."""
    if role not in ROLES:
        raise UserError(f"A role is one of {', '.join(ROLES)}, not {role!r}.")
    project = project or re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-") or "project"
    if not re.fullmatch(r"[A-Za-z0-9_.-]{1,64}", project):
        raise UserError("A project is named by up to 64 letters, digits, dots and dashes.")
    secret, identity = f"sk-sorairo-{secrets.token_urlsafe(32)}", new_id("key")
    with database.write() as session:
        session.add(
            Key(
                id=identity,
                digest=digest_of(secret),
                start=secret[:15],
                name=name,
                project=project,
                role=role,
                limits={name: value for name, value in limits.items() if value},
                created=time.time(),
            )
        )
    return identity, secret


def list_keys(database: Database) -> list[dict[str, Any]]:
    """All keys, without what they are."""
    with database.read() as session:
        return [
            {
                "id": key.id,
                "start": key.start,
                "name": key.name,
                "project": key.project,
                "role": key.role,
                "limits": key.limits,
                "created": key.created,
                "revoked": key.revoked,
            }
            for key in session.scalars(select(Key).order_by(Key.number))
        ]


def revoke_key(database: Database, identity: str) -> None:
    """From the next call on the key is refused. Raises UserError for one that is not there."""
    with database.write() as session:
        key = session.scalars(select(Key).where(Key.id == identity)).first()
        if key is None:
            raise UserError(f"There is no key {identity}; `sorairo keys list` names them.")
        key.revoked = key.revoked or time.time()


def find_key(database: Database, secret: str) -> Caller | None:
    """Whose key it is; None for one that is unknown or revoked."""
    with database.read() as session:
        found = select(Key).where(Key.digest == digest_of(secret), Key.revoked.is_(None))
        key = session.scalars(found).first()
        if key is None:
            return None
        return Caller(key=key.id, project=key.project, role=key.role, limits=dict(key.limits))
