"""The files of a folder, and what is in them by content: names and times may lie, a hash does not."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sorairo.types import UserError

__all__ = ["WORDS", "SourceFile", "check_folder", "find_files"]

WORDS = (".txt", ".json", ".jsonl", ".csv")
"""Files of captions, not of clips."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """A file that may hold a clip. name: its path below the folder, with slashes. mtime: nanoseconds."""

    name: str
    path: Path
    size: int
    mtime: int

    @property
    def stamp(self) -> tuple[int, int]:
        """Changes when the file is written to."""
        return self.size, self.mtime


def find_files(folder: Path, out: Path) -> tuple[list[SourceFile], dict[str, str]]:
    """The files of a folder and of those below it, by name, and what cannot be read there with the reason.

    Hidden files, files of words and the folder `out` are passed over. Raises UserError for a folder that is missing,
    may not be read, or holds no file.
    """
    check_folder(folder)
    unread: dict[str, str] = {}
    found = sorted(_walk(folder, folder, out.resolve(), unread), key=lambda one: one.name)
    if not found and not unread:
        raise UserError(f"{folder} holds no clips: put video files into it, with their captions beside them.")
    return found, unread


def check_folder(folder: Path) -> None:
    """Raises UserError for a folder that is missing, is a file, or may not be read."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file; give the folder of your clips.")
    if not folder.is_dir():
        raise UserError(f"The folder {folder} does not exist; give the folder of your clips.")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise UserError(f"The folder {folder} may not be read; change its rights.")


def _walk(folder: Path, top: Path, out: Path, unread: dict[str, str]) -> Iterator[SourceFile]:
    try:
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        unread[folder.relative_to(top).as_posix()] = f"the folder cannot be read: {why}"
        return
    for entry in entries:
        path = Path(entry.path)
        name = path.relative_to(top).as_posix()
        if entry.name.startswith("."):
            continue
        try:
            name.encode()
            if entry.is_dir(follow_symlinks=False):
                if path.resolve() == out:
                    continue
                yield from _walk(path, top, out, unread)
            elif path.suffix.lower() not in WORDS:
                state = entry.stat()
                if not stat.S_ISREG(state.st_mode):  # a pipe would be waited for, for ever
                    unread[name] = "it is no file, but a pipe, a device or a link to a folder"
                    continue
                yield SourceFile(name=name, path=path, size=state.st_size, mtime=state.st_mtime_ns)
        except UnicodeEncodeError:
            unread[ascii(name)] = "its name is not UTF-8: rename it"
        except OSError as error:
            unread[name] = f"it cannot be read: {(error.strerror or str(error)).lower()}"
