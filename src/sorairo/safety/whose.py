"""Did we make this? The invisible mark and the hashes of frames, asked together."""

from __future__ import annotations

from dataclasses import dataclass

from sorairo.safety.fingerprints import Match, Query
from sorairo.safety.index import Entry, Index
from sorairo.safety.mark import Found

__all__ = ["Answer", "answered"]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One file that pictures are from. match: how its frames agree; None where only the mark says so. by_mark: its
    mark was read."""

    entry: Entry
    match: Match | None
    by_mark: bool


def answered(index: Index, query: Query, mark: Found | None) -> list[Answer]:
    """The files that pictures are likely from, those with the mark first."""
    marked = index.marked(mark.payload) if mark else []
    alike = index.whose(query)
    told = [
        Answer(
            entry=entry, match=next((match for other, match in alike if other is entry), None), by_mark=True
        )
        for entry in marked
    ]
    seen = {id(one.entry) for one in told}
    return told + [
        Answer(entry=entry, match=match, by_mark=False) for entry, match in alike if id(entry) not in seen
    ]
