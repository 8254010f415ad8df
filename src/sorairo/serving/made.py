"""The index of a server: the rows of `made`, kept in memory and read on where they end."""

from __future__ import annotations

from threading import Lock

from sqlalchemy import select

from sorairo.safety.index import Entry, Index
from sorairo.serving.database import Database
from sorairo.serving.tables import Made

__all__ = ["MadeIndex"]


class MadeIndex:
    """Threads share it. owners: the project of each job."""

    def __init__(self, database: Database) -> None:
        self.database, self.index = database, Index()
        self.owners: dict[str, str] = {}
        self.lock = Lock()

    def now(self) -> Index:
        """The index with all that was delivered by now."""
        with self.lock:
            with self.database.read() as session:
                rows = list(
                    session.scalars(select(Made).where(Made.number > self.index.last).order_by(Made.number))
                )
            for row in rows:
                self.owners[row.job] = row.project
            self.index.add(
                Entry.of_blobs(one.job, one.created, one.mark, one.times, one.hashes) for one in rows
            )
            self.index.last = rows[-1].number if rows else self.index.last
            self.index.settle()
            return self.index
