"""The index of everything that was made: hashes of frames and the mark's number, a row a file.

The command line keeps it beside its keys; a server keeps the same rows in its own database.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sorairo.safety.fingerprints import (
    Fingerprint,
    Match,
    Query,
    agreement,
    crop_agreement,
)
from sorairo.safety.identity import provenance_folder
from sorairo.safety.rows import Rows
from sorairo.types import UserError

__all__ = ["Entry", "Index", "LocalIndex"]

LOOKED = 16
"""Frames of a query that are looked up in the whole index."""

TABLE = """create table if not exists made (
    number integer primary key autoincrement, name text not null, created real not null, mark integer,
    times blob not null, hashes blob not null)"""


@dataclass(frozen=True, kw_only=True, eq=False)
class Entry:
    """A file that was made. name: its path, or a job's id. created: seconds since 1970. mark: its number, if any.
    print: hashes of its frames."""

    name: str
    created: float
    mark: int | None
    print: Fingerprint

    def blobs(self) -> tuple[bytes, bytes]:
        """Times as float32 and hashes as bytes, little-endian, those of the middles behind; for a database."""
        parts = [self.print.hashes] if self.print.middles is None else [self.print.hashes, self.print.middles]
        return self.print.times.astype("<f4").tobytes(), np.concatenate(parts).astype("<u8").tobytes()

    @classmethod
    def of_blobs(cls, name: str, created: float, mark: int | None, times: bytes, hashes: bytes) -> Entry:
        """The entry of a row."""
        moments = np.frombuffer(times, "<f4")
        rows = np.frombuffer(hashes, "<u8").astype(np.uint64).reshape(-1, 4)
        count = len(moments)
        middles = rows[count:] if len(rows) == 2 * count else None  # rows of an older version have none
        prints = Fingerprint(times=moments, hashes=rows[:count], middles=middles)
        return cls(name=name, created=created, mark=mark, print=prints)


class Index:
    """Entries in memory; rows of their frames, whole and without edges. last: the number of the newest row that
    was added."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.last = 0
        self._frames, self._middles = Rows(), Rows()
        self._waiting: list[Entry] = []

    def add(self, entries: Iterable[Entry]) -> None:
        """Add entries."""
        self._waiting += entries

    def settle(self) -> int:
        """Put what was added where it is searched, and return how many frames there are; a search does it too."""
        if self._waiting:
            first = len(self.entries)
            self.entries += self._waiting
            counts = [len(one.print.times) for one in self._waiting]
            numbers = np.arange(first, len(self.entries), dtype=np.int32)
            self._frames.add([one.print.hashes for one in self._waiting], np.repeat(numbers, counts))
            inner = [one.print.middles for one in self._waiting]
            has = [middles is not None for middles in inner]
            clips = np.repeat(numbers[has], np.array(counts)[has])
            self._middles.add([one for one in inner if one is not None], clips)
            self._waiting = []
        return len(self._frames.clips)

    def whose(self, query: Query) -> list[tuple[Entry, Match]]:
        """The entries that a query is likely a copy of, the likeliest first. Bars are taken off, then crops tried,
        where nothing else is found."""
        self.settle()
        found = self._searched(query.plain, False, LOOKED) + self._searched(query.mirrored, True, LOOKED)
        if not found and query.unbarred is not query.plain:
            found = self._searched(query.unbarred, False, LOOKED)
        if not found:
            clips = self._middles.nearest_crops(query.crops)
            tried = [crop_agreement(query.crops, self.entries[clip].print, clip) for clip in clips]
            found = [one for one in tried if one is not None]
        best: dict[int, Match] = {}
        for one in sorted(found, key=lambda one: (-round(one.share, 1), one.distance)):
            best.setdefault(one.clip, one)
        return [(self.entries[clip], one) for clip, one in best.items()]

    def _searched(self, prints: Fingerprint, mirrored: bool, frames: int) -> list[Match]:
        clips = self._frames.nearest(prints, frames)
        found = [agreement(prints, self.entries[clip].print, clip, mirrored) for clip in clips]
        return [one for one in found if one is not None]

    def marked(self, payload: int) -> list[Entry]:
        """The entries whose mark has this number."""
        self.settle()
        return [one for one in self.entries if one.mark == payload]


class LocalIndex:
    """The index of this user's files, in SQLite. Processes may share it."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or provenance_folder() / "made.db"

    def add(self, name: str, prints: Fingerprint, mark: int | None = None) -> None:
        """Remember a file that was made. Raises UserError."""
        entry = Entry(name=name, created=time.time(), mark=mark, print=prints)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._open()) as database, database:
                database.execute(TABLE)
                row = (name, entry.created, mark, *entry.blobs())
                database.execute(
                    "insert into made (name, created, mark, times, hashes) values (?, ?, ?, ?, ?)", row
                )
        except (sqlite3.Error, OSError) as error:
            raise UserError(f"{self.path} cannot be written ({error}).") from error

    def load(self) -> Index:
        """All entries; none where nothing was made yet. Raises UserError for a file that is no such index."""
        index = Index()
        if not self.path.exists():
            return index
        try:
            with closing(self._open()) as database:
                rows = database.execute("select name, created, mark, times, hashes from made order by number")
                index.add(Entry.of_blobs(*row) for row in rows)
        except (sqlite3.Error, ValueError, TypeError) as error:
            raise UserError(
                f"{self.path} cannot be read ({error}); move it away and a new one begins."
            ) from error
        return index

    def _open(self) -> sqlite3.Connection:
        return sqlite3.connect(self.path, timeout=30)
