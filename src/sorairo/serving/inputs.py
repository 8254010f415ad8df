"""Pictures and clips that come with a call, in every form, as files of the store."""

from __future__ import annotations

import base64
import binascii
import hashlib
import tempfile
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote_to_bytes

from sqlalchemy import select
from sqlalchemy.orm import Session

from sorairo.serving.body import Body, from_text
from sorairo.serving.database import Database, new_id
from sorairo.serving.errors import ApiError, missing
from sorairo.serving.fetch import fetch
from sorairo.serving.keys import Caller
from sorairo.serving.media import inspect
from sorairo.serving.moderation import check_picture, policy_here
from sorairo.serving.settings import Settings
from sorairo.serving.storage import Store
from sorairo.serving.tables import File, Job

__all__ = ["Inputs"]


class Inputs:
    """Keeps uploads and finds sources."""

    def __init__(self, settings: Settings, database: Database, store: Store) -> None:
        self.settings, self.database, self.store = settings, database, store

    def media(self, caller: Caller, data: bytes, name: str, purpose: str = "vision") -> File:
        """Keep a picture or clip, after a child has decoded it and the policy has looked at it. Raises UserError, and
        ApiError 400 moderation_blocked."""
        with tempfile.TemporaryDirectory(prefix="sorairo-") as folder:
            path, small = Path(folder) / "upload", Path(folder) / "small.webp"
            path.write_bytes(data)
            facts = inspect(path, small)
            check_picture(policy_here(self.settings), caller, small)
            file = self._row(caller, data, name, purpose, facts)
            self.store.put(path, file.path)
            self.store.put(small, f"{file.path}.webp")
        return self._kept(file)

    def plain(self, caller: Caller, data: bytes, name: str, purpose: str) -> File:
        """Keep a file that is not media, such as a batch."""
        file = self._row(caller, data, name, purpose, {})
        with tempfile.TemporaryDirectory(prefix="sorairo-") as folder:
            path = Path(folder) / "upload"
            path.write_bytes(data)
            self.store.put(path, file.path)
        return self._kept(file)

    def _row(self, caller: Caller, data: bytes, name: str, purpose: str, facts: dict[str, Any]) -> File:
        identity, now = new_id("file"), time.time()
        return File(
            id=identity,
            project=caller.project,
            filename=name,
            purpose=purpose,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            path=f"files/{identity}",
            facts=facts,
            created=now,
            expires=now + self.settings.expiry,
        )

    def _kept(self, file: File) -> File:
        with self.database.write() as session:
            session.add(file)
        return file

    def reference(self, caller: Caller, body: Body, name: str) -> str | None:
        """The id of a file or video that a field names: an upload, an id, a URL, or an object with one of id, file_id
        and image_url, also as JSON text.

        None where the field is not there. Raises ApiError and UserError.
        """
        if upload := body.uploads.get(name):
            return self.media(caller, upload.data, upload.name).id
        value = from_text(body.values.get(name))
        if value is None or value == "":
            return None
        if isinstance(value, dict):
            found = [
                value[key] for key in ("id", "file_id", "image_url", "url", "video_url") if value.get(key)
            ]
            if len(found) != 1:
                raise ApiError(400, f"{name} has one of file_id, image_url and id.", param=name)
            value = found[0]
            if isinstance(value, dict):
                value = value.get("url")
        if not isinstance(value, str):
            raise ApiError(400, f"{name} is a file, an id or a URL.", param=name)
        if value.startswith("data:"):
            return self.media(caller, data_url(value, name), "upload").id
        if "://" in value[:12]:
            answer = fetch(value, most=self.settings.max_fetch, private=self.settings.private_urls)
            return self.media(caller, answer.body, "download").id
        with self.database.read() as session:
            self.check(session, caller, value, name)
        return value

    def check(self, session: Session, caller: Caller, identity: str, param: str) -> None:
        """Raise ApiError unless an id is a file with frames, or a finished video, of the caller's project."""
        if identity.startswith("file_"):
            file = own(session, File, caller, identity)
            if not file.facts:
                raise ApiError(400, f"{identity} is not a picture or a clip.", param=param)
            return
        job = own(session, Job, caller, identity)
        if job.status != "completed":
            raise ApiError(
                400,
                f"{identity} is {job.status}; only a completed video can be used.",
                param=param,
                code="not_ready",
            )


def own(session: Session, table: type[Any], caller: Caller, identity: str) -> Any:
    """A row of the caller's project. Raises ApiError 404."""
    row = session.scalars(select(table).where(table.id == identity, table.project == caller.project)).first()
    if row is None or getattr(row, "deleted", False):
        raise missing({Job: "video", File: "file"}.get(table, table.__name__.lower()), identity)
    return row


def data_url(text: str, param: str) -> bytes:
    """The bytes of a data URL. Raises ApiError."""
    head, comma, data = text.partition(",")
    try:
        if not comma:
            raise ValueError
        return base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote_to_bytes(data)
    except (ValueError, binascii.Error) as error:
        raise ApiError(400, f"{param} is a data URL that cannot be read.", param=param) from error
