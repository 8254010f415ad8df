"""What a build has found out, a line for each finding: after a crash nothing that was found is looked for again."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any, Self

from sorairo.data.build.figures import Shot
from sorairo.files import disk_errors, whole_file

__all__ = ["Ledger"]

VERSION = 3
"""Of how figures are measured: with another one, files are looked at again."""


class Ledger:
    """OUT/work/ledger.jsonl. A line that a crash cut off is passed over.

    files: name -> (size, mtime, sha256). shots: sha256 -> shots, or why there are none. captions: (captioner, clip) ->
    lines. shards: name -> (id of a clip, its file). hashes: name of a shard -> sha256 of its file.
    """

    def __init__(self, out: Path, scenes: dict[str, float]) -> None:
        self.path, self.looks = out / "work" / "ledger.jsonl", out / "work" / "looks"
        self.scenes = scenes | {"version": VERSION}
        self.files: dict[str, tuple[int, int, str]] = {}
        self.shots: dict[str, list[Shot] | str] = {}
        self.captions: dict[tuple[str, str], list[str]] = {}
        self.shards: dict[str, list[tuple[str, str]]] = {}
        self.hashes: dict[str, str] = {}

    def __enter__(self) -> Self:
        with disk_errors(self.path):
            self.looks.mkdir(parents=True, exist_ok=True)
            if self.path.exists():
                for line in self.path.read_bytes().splitlines():
                    self._take(line)
            self.file = self.path.open("ab")
            if self.file.tell() and not self.path.read_bytes().endswith(b"\n"):
                self.file.write(b"\n")
        return self

    def __exit__(self, *error: object) -> None:
        with disk_errors(self.path):
            self.file.close()

    def _take(self, line: bytes) -> None:
        try:
            values = json.loads(line)
            match values["kind"]:
                case "file":
                    self.files[values["name"]] = (values["size"], values["mtime"], values["sha256"])
                case "shots" if values["scenes"] == self.scenes:
                    found = values["found"]
                    self.shots[values["sha256"]] = found if isinstance(found, str) else _shots(found)
                case "caption":
                    self.captions[values["by"], values["clip"]] = values["lines"]
                case "shard":
                    self.shards[values["name"]] = [(clip, file) for clip, file in values["clips"]]
                case "written":
                    self.hashes[values["name"]] = values["sha256"]
        except (ValueError, KeyError, TypeError, RecursionError):  # half a line
            return

    def _note(self, **values: Any) -> None:
        with disk_errors(self.path):
            self.file.write(json.dumps(values).encode() + b"\n")
            self.file.flush()

    def note_file(self, name: str, stamp: tuple[int, int], sha256: str) -> None:
        """What a file holds."""
        self.files[name] = (*stamp, sha256)
        self._note(kind="file", name=name, size=stamp[0], mtime=stamp[1], sha256=sha256)

    def note_shots(self, sha256: str, found: list[Shot] | str) -> None:
        """The shots of a file, or why it has none; their pictures go into files of their own."""
        if not isinstance(found, str):
            for number, shot in enumerate(found, start=1):
                with whole_file(self.look(sha256, number), flush=False) as temporary:
                    temporary.write_bytes(shot.look)
        self.shots[sha256] = found
        plain = found if isinstance(found, str) else [_plain(shot) for shot in found]
        self._note(kind="shots", sha256=sha256, scenes=self.scenes, found=plain)

    def look(self, sha256: str, number: int) -> Path:
        """The file of some pictures of a shot, numbered from 1."""
        return self.looks / f"{sha256[:20]}-{number}.webp"

    def note_caption(self, by: str, clip: str, lines: list[str]) -> None:
        """What a captioner says of a clip."""
        self.captions[by, clip] = lines
        self._note(kind="caption", by=by, clip=clip, lines=lines)

    def note_shard(self, name: str, clips: list[tuple[str, str]]) -> None:
        """Which clips a shard is for; said before it is written."""
        self.shards[name] = clips
        self._note(kind="shard", name=name, clips=clips)

    def note_written(self, name: str, sha256: str) -> None:
        """The hash of a shard's file; empty where it has no clips and no file."""
        self.hashes[name] = sha256
        self._note(kind="written", name=name, sha256=sha256)


def _plain(shot: Shot) -> dict[str, Any]:
    return {field.name: getattr(shot, field.name) for field in fields(shot) if field.name != "look"}


def _shots(found: list[dict[str, Any]]) -> list[Shot]:
    tuples = ("size", "box", "hashes")
    read = [{**values, **{name: tuple(values[name]) for name in tuples}} for values in found]
    return [Shot(**values) for values in read]
