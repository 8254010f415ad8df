"""The texts of the audit log, apart from its chain, so that they can be deleted."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sorairo.types import UserError

__all__ = ["Text", "Texts", "commitment"]


def commitment(salt: bytes, text: str) -> str:
    """SHA-256 in hex of a salt and a text."""
    return hashlib.sha256(salt + unicode(text).encode()).hexdigest()


def unicode(text: str) -> str:
    """The text with a question mark for what is no Unicode, such as bytes of another encoding on the command line."""
    return text.encode("utf-8", "replace").decode()


@dataclass(frozen=True, kw_only=True)
class Text:
    """What was asked in an entry, and the salt of its hash."""

    n: int
    text: str
    salt: bytes


class Texts:
    """A small SQLite database. Deleted rows are overwritten with zeros."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self.path, timeout=30)
        try:
            connection.execute("PRAGMA secure_delete = ON")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS texts (n INTEGER PRIMARY KEY, time REAL, who TEXT, salt BLOB, text TEXT)"
            )
            with connection:
                yield connection
        finally:
            connection.close()

    def put(self, n: int, when: float, who: str, salt: bytes, text: str) -> None:
        """Keep the text of entry n. One that a writer left before it was cut off is replaced."""
        with self._open() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?, ?)",
                (n, when, unicode(who), salt, unicode(text)),
            )

    def delete(self, *, who: str | None = None, before: float | None = None, entry: int | None = None) -> int:
        """Remove the texts for which all that is named holds; returns how many."""
        named = (("who = ?", who), ("time < ?", before), ("n = ?", entry))
        where = " AND ".join(clause for clause, value in named if value is not None)
        values = [value for _, value in named if value is not None]
        with self._open() as connection:
            return connection.execute(f"DELETE FROM texts WHERE {where or '1'}", values).rowcount

    def all(self) -> Iterator[Text]:
        """The texts that are there, in order. Raises UserError."""
        if not self.path.is_file():
            return
        try:
            with self._open() as connection:
                rows = connection.execute("SELECT n, salt, text FROM texts ORDER BY n").fetchall()
        except sqlite3.Error as error:
            raise UserError(
                f"{self.path} cannot be read ({error}); move it away, and the log is read without texts."
            ) from error
        for n, salt, text in rows:
            yield Text(n=n, text=text, salt=salt)
