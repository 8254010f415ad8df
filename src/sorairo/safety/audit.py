"""The audit log: one JSON line a decision, each with the hash of the line before it, and the texts beside it.

A line has who asked, a salted SHA-256 of what was asked, the verdict and the policy's version. Texts and their salts
are in a database of their own, so that they can be deleted and the chain still verifies: without its salt a hash says
nothing about a text. Whoever can write the folder could also write a whole new chain; so keep its last hash elsewhere
(`sorairo audit verify` prints it, and `--expect` takes it).
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from sorairo.safety.audit_texts import Texts, commitment
from sorairo.types import UserError, Verdict

__all__ = ["FIRST", "AuditLog", "hash_of", "moment", "written"]

FIRST = "0" * 64
"""What stands for the line before the first."""
CHAIN, TEXTS, HEAD = "chain.jsonl", "texts.db", "head.json"
LONGEST = 2**20
"""Bytes that are read from the end of the file to find its last line."""
EVERY = 3600.0
"""Seconds between two removals of texts that are older than they may be."""


def hash_of(entry: dict[str, Any]) -> str:
    """The hash (SHA-256, hex) of a line: of all its fields but `hash`, in a fixed form."""
    body = {name: value for name, value in entry.items() if name != "hash"}
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def written(entry: dict[str, Any]) -> bytes:
    """An entry as the bytes of its line, without the end of line."""
    return json.dumps(entry, sort_keys=True, separators=(",", ":")).encode()


def moment(when: float) -> str:
    """A time as 2026-11-27T06:30:00.123Z."""
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(when)) + f".{int(when * 1000) % 1000:03d}Z"


@dataclass(frozen=True, kw_only=True)
class Tail:
    """The end of the chain. size: bytes up to the end of the last whole line; torn: the bytes behind it."""

    n: int
    hash: str
    size: int
    torn: bytes = b""


class AuditLog:
    """The log in a folder, which is made. Processes and threads share it: a file lock orders their lines.

    keep: days after which texts are removed; None keeps them. Raises UserError where the folder cannot be made.
    """

    def __init__(self, folder: Path, keep: float | None = None) -> None:
        self.folder, self.keep = folder, keep
        self.pruned = 0.0
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise UserError(f"The audit log cannot be kept in {folder} ({error.strerror}).") from error
        self.texts = Texts(folder / TEXTS)

    def append(self, who: str, text: str, verdict: Verdict) -> int:
        """Write a decision, on the disk when this returns. Returns its number, from 1 on."""
        taken = {name: one.action for name, one in verdict.decisions.items() if one.action != "allow"}
        return self._write(
            {"who": who, "verdict": verdict.action, "categories": taken, "policy": verdict.policy_version},
            text,
        )

    def delete(self, *, who: str | None = None, before: float | None = None, entry: int | None = None) -> int:
        """Remove texts: of one caller, of a time before `before` (seconds since 1970), of one entry; all that are named
        must hold. The lines stay, and one that counts the deletion is added. Returns how many were removed."""
        with self._locked():
            count = self.texts.delete(who=who, before=before, entry=entry)
        if count:
            self._write({"who": "operator", "verdict": "deleted", "count": count}, None)
        return count

    def _write(self, values: dict[str, Any], text: str | None) -> int:
        now = time.time()
        with self._locked() as file:
            tail = tail_of(file)
            salt = secrets.token_bytes(16)
            entry: dict[str, Any] = {"n": tail.n + 1, "time": moment(now), **values}
            if text is not None:
                entry["asked"] = commitment(salt, text)
            if tail.torn:  # a writer was cut off: the next line says so, and what stood there
                entry["torn"] = hashlib.sha256(tail.torn).hexdigest()
            entry["prev"] = tail.hash
            entry["hash"] = hash_of(entry)
            if text is not None:
                self.texts.put(entry["n"], now, str(values["who"]), salt, text)
            if self.keep and now - self.pruned > EVERY:
                self.pruned = now
                self.texts.delete(before=now - self.keep * 86400)
            line = written(entry) + b"\n"
            _append(file, b"\n" + line if tail.torn else line)
            self._head(entry)
        return tail.n + 1

    def _head(self, entry: dict[str, Any]) -> None:
        """Where the chain ends, so that missing last lines are noticed."""
        path = self.folder / f".{HEAD}.new"
        path.write_text(json.dumps({"n": entry["n"], "hash": entry["hash"]}))
        os.replace(path, self.folder / HEAD)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[IO[bytes]]:
        import fcntl

        with open(self.folder / CHAIN, "ab+", buffering=0) as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # given back when the file is closed
            yield file


def _append(file: IO[bytes], data: bytes) -> None:
    """All of the data on the disk, or none of it."""
    size = file.seek(0, os.SEEK_END)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[file.write(rest) :]
        os.fsync(file.fileno())
    except OSError:
        file.truncate(size)
        raise


def tail_of(file: IO[bytes]) -> Tail:
    """The last whole line of a chain, and what is behind it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST))
    lines = file.read().split(b"\n")
    torn = lines.pop()
    for line in reversed(lines):
        with contextlib.suppress(ValueError, KeyError, TypeError):
            entry = json.loads(line)
            return Tail(n=int(entry["n"]), hash=str(entry["hash"]), size=size - len(torn), torn=torn)
    return Tail(n=0, hash=FIRST, size=size - len(torn), torn=torn)
