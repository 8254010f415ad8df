"""The texts of the audit log, apart from its chain, so that they can be deleted."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Text", "Texts", "commitment"]


def commitment(salt: bytes, text: str) -> str:
    """SHA-256 in hex of a salt and a text."""
    return hashlib.sha256(salt + text.encode("utf-8", "surrogatepass")).hexdigest()


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
        text = text.encode("utf-8", "replace").decode()
        with self._open() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO texts VALUES (?, ?, ?, ?, ?)", (n, when, who, salt, text)
            )

    def delete(self, *, who: str | None = None, before: float | None = None, entry: int | None = None) -> int:
        """Remove the texts for which all that is named holds; returns how many."""
        named = (("who = ?", who), ("time < ?", before), ("n = ?", entry))
        where = " AND ".join(clause for clause, value in named if value is not None)
        values = [value for _, value in named if value is not None]
        with self._open() as connection:
            return connection.execute(f"DELETE FROM texts WHERE {where or '1'}", values).rowcount

    def all(self) -> Iterator[Text]:
        """The texts that are there, in order."""
        if not self.path.is_file():
            return
        with self._open() as connection:
            for n, salt, text in connection.execute("SELECT n, salt, text FROM texts ORDER BY n"):
                yield Text(n=n, text=text, salt=salt)
