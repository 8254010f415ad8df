"""Whether an audit log is whole: every fault with its line, and the log as plain records."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sorairo.safety.audit import CHAIN, FIRST, HEAD, TEXTS, hash_of, written
from sorairo.safety.audit_texts import Texts, commitment
from sorairo.types import UserError

__all__ = ["Fault", "Report", "records", "verify"]


@dataclass(frozen=True, kw_only=True)
class Fault:
    """line: from 1 on; byte: where it begins. kind: torn, edited, unlinked, missing or text."""

    line: int
    byte: int
    kind: str
    what: str


@dataclass(frozen=True, kw_only=True)
class Report:
    """entries: whole lines. n, hash: of the last one. torn: lines that were cut off and that the log itself records.
    texts: entries whose text is still there."""

    entries: int
    n: int
    hash: str
    texts: int
    torn: tuple[int, ...] = ()
    faults: tuple[Fault, ...] = field(default=())


@dataclass(frozen=True, kw_only=True)
class Line:
    """A line of the file. entry: None where it is no entry."""

    number: int
    byte: int
    data: bytes
    entry: dict[str, Any] | None
    ended: bool


def lines(folder: Path) -> Iterator[Line]:
    """The lines of a chain. Raises UserError where there is none."""
    path, start = folder / CHAIN, 0
    try:
        with open(path, "rb") as file:
            for number, data in enumerate(file, 1):
                yield Line(
                    number=number,
                    byte=start,
                    data=data.rstrip(b"\n"),
                    entry=entry_of(data),
                    ended=data.endswith(b"\n"),
                )
                start += len(data)
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({error.strerror}); name the folder of an audit log."
        ) from error


def entry_of(data: bytes) -> dict[str, Any] | None:
    """The entry of a line; None if it is none, such as the begin of one."""
    try:
        entry = json.loads(data)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict) or not isinstance(entry.get("n"), int) or "hash" not in entry:
        return None
    return entry


def verify(folder: Path, expect: tuple[int, str] | None = None) -> Report:
    """Read the whole log. expect: (number, hash) of an entry as it was written down elsewhere. Raises UserError."""
    faults: list[Fault] = []
    torn: list[int] = []
    count, n, last, asked = 0, 0, FIRST, dict[int, tuple[Line, str]]()
    open_ones: list[Line] = []  # cut-off lines that no entry records yet
    promised = {expect[0]: expect[1]} if expect else {}
    head = head_of(folder)

    def fault(line: Line, kind: str, what: str) -> None:
        faults.append(Fault(line=line.number, byte=line.byte, kind=kind, what=what))

    for line in lines(folder):
        entry = line.entry
        if entry is None:
            open_ones.append(line)
            continue
        count += 1
        if (
            (mark := entry.get("torn"))
            and open_ones
            and hashlib.sha256(open_ones[-1].data).hexdigest() == mark
        ):
            torn.append(open_ones.pop().number)
        if hash_of(entry) != entry["hash"]:
            fault(
                line, "edited", f"entry {entry['n']} does not have the hash that it had when it was written"
            )
        elif written(entry) != line.data:  # the hash is of what a line says: not of blanks, of a key's double
            fault(line, "edited", f"entry {entry['n']} is not spelt as it was written")
        if entry.get("prev") != last or entry["n"] != n + 1:
            gone = entry["n"] - n - 1
            what = (
                f"entry {entry['n']} does not follow entry {n}: lines were removed, added, moved or rewritten"
            )
            fault(line, "unlinked", what if gone <= 0 else f"{what} ({gone} numbers are missing)")
        if not line.ended:
            fault(line, "torn", f"entry {entry['n']} has no end of line")
        n, last = entry["n"], str(entry["hash"])
        for known in (promised, {head[0]: head[1]} if head else {}):
            if n in known and known[n] != last:
                fault(line, "edited", f"entry {n} has another hash than was noted for it")
        if isinstance(entry.get("asked"), str):
            asked[n] = line, entry["asked"]
    for line in open_ones:
        fault(line, "torn", f"{len(line.data)} bytes are no whole entry")
    for kept in (expect, head):
        if kept and kept[0] > n:
            end = Line(number=count + 1, byte=size_of(folder), data=b"", entry=None, ended=True)
            fault(end, "missing", f"the log ends at entry {n}, and entry {kept[0]} was written")
    texts = 0
    for text in Texts(folder / TEXTS).all():
        texts += 1
        if text.n in asked and commitment(text.salt, text.text) != asked[text.n][1]:
            fault(asked[text.n][0], "text", f"the text of entry {text.n} was edited, in {TEXTS}")
    unique = tuple(dict.fromkeys(faults))
    return Report(entries=count, n=n, hash=last, texts=texts, torn=tuple(torn), faults=unique)


def head_of(folder: Path) -> tuple[int, str] | None:
    """(number, hash) of the end of the chain as it was noted beside it; None where that is not there."""
    try:
        found = json.loads((folder / HEAD).read_text())
        return int(found["n"]), str(found["hash"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None


def size_of(folder: Path) -> int:
    return (folder / CHAIN).stat().st_size


def records(folder: Path) -> Iterator[dict[str, Any]]:
    """Every entry with its text, None where that was deleted. Raises UserError."""
    texts = {one.n: one.text for one in Texts(folder / TEXTS).all()}
    for line in lines(folder):
        if line.entry is not None:
            yield {**line.entry, "text": texts.get(line.entry["n"])}
