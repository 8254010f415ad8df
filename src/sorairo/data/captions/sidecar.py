"""Captions that lie beside clips: NAME.txt or NAME.json, or a table of the folder (captions.csv, metadata.jsonl).

beach.txt          a caption a line: the exact one, then shorter ones and other wordings; beach.mp4.txt as well
beach.json         {"captions": ["...", "..."]}, {"caption": "..."}, or {"shots": {"1": ["..."], "3": ["..."]}}
captions.csv       file_name,text (or file,caption), and shot where a file has several; metadata.csv as well
metadata.jsonl     {"file_name": "...", "text": "..."}, as Hugging Face's VideoFolder has it
meta/episodes.jsonl    a LeRobot data set of version 2: the tasks of videos/.../episode_000012.mp4
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sorairo.types import UserError

__all__ = ["Lines", "Sidecars", "captions_in", "tidy"]

WORDS = (".txt", ".json", ".jsonl", ".csv")
TABLES = ("captions.csv", "metadata.csv", "captions.jsonl", "metadata.jsonl")
FILE_KEYS = ("file_name", "file", "video", "path", "media_path")
TEXT_KEYS = ("text", "caption", "captions", "prompt")

# fmt: off
ENDINGS = frozenset((
    ".mp4", ".m4v", ".mov", ".qt", ".3gp", ".mj2", ".webm", ".mkv", ".avi", ".ogv", ".ogg", ".ogm", ".mpg",
    ".mpeg", ".vob", ".ts", ".mts", ".m2ts", ".gif", ".png", ".apng", ".jpg", ".jpeg", ".webp", ".avif",
    ".heic", ".heif", ".tif", ".tiff", ".bmp", ".jp2", ".j2k",
))
# fmt: on
"""Endings that say what a file is. Others may belong to the name: take.1 and take.2 are not both called take."""

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
EPISODE = re.compile(r"(?:^|/)episode_(\d{6,})\.\w+$")

Lines = dict[int, list[str]]
"""Captions by shot, numbered from 1; 0: of the whole file."""


class Sidecars:
    """The captions of a folder's files. Tables are read once. Raises UserError for a table that cannot be read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.tables: dict[str, Lines] = {}
        self.stems: dict[Path, Counter[str]] = {}
        for name in TABLES:
            for path in sorted(folder.rglob(name)):
                if not any(part.startswith(".") for part in path.relative_to(folder).parts):
                    self._read_table(path)
        self.tasks = _episodes(folder / "meta" / "episodes.jsonl")

    def of(self, name: str) -> Lines:
        """The captions of a file, by its path below the folder; empty where it has none.

        Raises UserError for captions that cannot be read.
        """
        path = self.folder / name
        names = [path.name, *([path.stem] if path.suffix.lower() in ENDINGS or self._alone(path) else [])]
        for beside in (path.with_name(one) for one in names):
            if (lines := _beside(beside)) is not None:
                return lines
        episode = EPISODE.search(name)
        if name not in self.tables and episode and int(episode[1]) in self.tasks:
            return {0: self.tasks[int(episode[1])]}
        return self.tables.get(name, {})

    def _alone(self, path: Path) -> bool:
        """Whether no other clip of its folder has the same name but for the ending."""
        if path.parent not in self.stems:
            names = [one for one in path.parent.iterdir() if one.suffix.lower() not in WORDS]
            self.stems[path.parent] = Counter(one.stem for one in names)
        return self.stems[path.parent][path.stem] < 2

    def _read_table(self, path: Path) -> None:
        text = _table(path)
        try:
            if path.suffix == ".csv":
                rows: list[Any] = list(csv.DictReader(io.StringIO(text), strict=True))
            else:
                rows = [json.loads(line) for line in text.splitlines() if line.strip()]
        except (csv.Error, ValueError, RecursionError) as error:
            raise UserError(
                f"{path} is no table of captions: {' '.join(str(error).split())[:150]}."
            ) from error
        for number, row in enumerate(rows, start=1):
            name = next((row[key] for key in FILE_KEYS if isinstance(row, dict) and row.get(key)), None)
            words = next((row[key] for key in TEXT_KEYS if isinstance(row, dict) and row.get(key)), None)
            if not isinstance(name, str):
                raise UserError(
                    f"{path}: row {number} names no file: its column is {' or '.join(FILE_KEYS[:2])}."
                )
            if None in row:  # where a caption with a comma has no quotes around it, the rest of it
                raise UserError(
                    f'{path}: row {number} has more fields than the first line names: put "..." around captions '
                    "with commas."
                )
            shot = str(row.get("shot", "")).strip() if row.get("shot") is not None else ""
            if shot and not (shot.isdecimal() and len(shot) < 7 and int(shot) > 0):
                raise UserError(f"{path}: row {number}: shot is a number from 1, not {shot[:40]!r}.")
            place = os.path.relpath(path.parent / name, self.folder)
            if place.startswith(os.pardir):
                raise UserError(f"{path}: row {number}: {name[:200]} is not in {self.folder}.")
            lines = self.tables.setdefault(Path(place).as_posix(), {}).setdefault(int(shot or 0), [])
            lines += tidy([words] if isinstance(words, str) else words if isinstance(words, list) else [])


def _episodes(path: Path) -> dict[int, list[str]]:
    """The tasks of a LeRobot data set's episodes; none where the file is not there. Raises UserError."""
    if not path.is_file():
        return {}
    try:
        rows = [json.loads(line) for line in _table(path).splitlines() if line.strip()]
        return {int(row["episode_index"]): tidy(row["tasks"]) for row in rows}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no list of LeRobot's episodes: copy it again.") from error


def _beside(path: Path) -> Lines | None:
    """What NAME.txt and NAME.json say together; None where neither is there. Raises UserError.

    A JSON file beside a text may be another tool's: where it holds no captions the text is enough.
    """
    found: Lines | None = None
    for suffix in (".txt", ".TXT"):
        file = path.with_name(path.name + suffix)
        if found is None and file.is_file():
            found = {0: tidy(_text(file).splitlines())}
    for suffix in (".json", ".JSON"):
        file = path.with_name(path.name + suffix)
        if file.is_file():
            try:
                more = captions_in(file.name, _text(file))
            except UserError:
                if found is None or not found[0]:
                    raise
                continue
            words = (found or {}).get(0, [])
            found = more | ({0: tidy([*words, *more.get(0, [])])} if words else {})
    return found


def captions_in(name: str, text: str) -> Lines:
    """The captions in a JSON text. Raises UserError, with `name`, where it holds something else."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{name} is no JSON") from error
    if isinstance(values, dict) and isinstance(shots := values.get("shots"), dict):
        if not all(key.isdecimal() and len(key) < 7 and int(key) > 0 for key in shots):
            raise UserError(f"{name}: the keys of shots are numbers from 1")
        return {int(key): _lines(name, lines) for key, lines in shots.items()}
    return {0: _lines(name, values)}


def _lines(name: str, values: Any) -> list[str]:
    if isinstance(values, Mapping):
        values = next((values[key] for key in ("captions", *TEXT_KEYS) if key in values), [])
    if isinstance(values, Mapping):  # as the worlds write them
        others = values.get("paraphrases") or []
        others = others if isinstance(others, list) else [others]
        values = [line for line in (values.get("long"), values.get("short"), *others) if line is not None]
    values = [values] if isinstance(values, str) else values
    if not isinstance(values, list) or not all(isinstance(line, str) for line in values):
        raise UserError(f'{name} must hold {{"captions": ["...", ...]}}')
    return tidy(values)


def tidy(lines: list[Any]) -> list[str]:
    """Captions without needless spaces and control characters, without empty ones and without repetitions."""
    found = [" ".join(CONTROL.sub(" ", line).split()) for line in lines if isinstance(line, str)]
    return list(dict.fromkeys(line for line in found if line))


def _table(path: Path) -> str:
    """The text of a table, which is of no clip alone: where it cannot be read nothing is built."""
    try:
        return _text(path)
    except UserError as error:
        raise UserError(f"{path.parent / str(error)}.") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not UTF-8: save it again in UTF-8") from error
    except OSError as error:
        raise UserError(f"{path.name} cannot be read ({(error.strerror or str(error)).lower()})") from error
