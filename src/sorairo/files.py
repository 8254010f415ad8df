"""Files and folders that appear whole or not at all: temporary name, flush to disk, rename."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sorairo.types import UserError

__all__ = [
    "FULL",
    "cache_home",
    "check_folder",
    "disk_errors",
    "file_hash",
    "only_process",
    "replacing",
    "said_size",
    "whole_file",
    "whole_folder",
    "write_once",
    "write_text",
]

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers of a disk, a quota or a file size limit that is used up."""

LONGEST = 255  # bytes of a file's name, on every file system that is in use


def cache_home() -> Path:
    """Where things lie that can be made again: SORAIRO_CACHE, or sorairo/ in XDG_CACHE_HOME or in ~/.cache."""
    if own := os.environ.get("SORAIRO_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sorairo"


def check_folder(path: Path) -> None:
    """Refuse a file name that could never be written, before any work is done for it. Raises UserError."""
    if len(os.fsencode(path.name)) > LONGEST:
        raise UserError(
            f"The file name {path.name[:40]}... is longer than {LONGEST} bytes; choose a shorter one."
        )
    try:
        is_folder = path.is_dir()
        path = _followed(path)
        folder = path.parent
        there = folder.is_dir()
    except OSError as error:  # a path that is longer than paths can be
        raise UserError(
            f"{str(path)[:40]}... cannot be written ({(error.strerror or '').lower()})."
        ) from error
    if is_folder:
        raise UserError(f"{path} is a folder; give the name of a file.")
    if not there:
        raise UserError(f"The folder {folder} does not exist; create it or choose another.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"{path} cannot be written; choose a folder that you may write to.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """As whole_file, for outputs that a user names: a folder that is missing is refused, not created."""
    check_folder(path)
    with whole_file(path) as temporary:
        yield temporary


@contextmanager
def whole_file(path: Path, *, flush: bool = True) -> Iterator[Path]:
    """Yields a temporary path beside `path`; after the block its content stands under the final name.

    The temporary name has the suffix of `path`. An exception inside (Ctrl-C is one) leaves the earlier file as it
    was. Missing folders are created, symbolic links are followed. flush: so that a power cut cannot leave an empty
    file; it waits for the disk. Raises UserError when the disk is full or the place cannot be written.
    """
    path = _followed(path)
    temporary = _beside(path, path.suffix)
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            if flush:
                _flush(temporary)
            os.replace(temporary, path)
            if flush:
                _flush(path.parent)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As whole_file, for a folder. An earlier folder of that name is replaced."""
    temporary, old = _beside(path), _beside(path)
    try:
        with disk_errors(path):
            temporary.mkdir(parents=True)
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    _flush(file)
            if path.exists():  # a folder cannot be renamed over another
                os.replace(path, old)
            os.replace(temporary, path)
            _flush(path.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if old.exists() and not path.exists():  # interrupted between the two renames
            os.replace(old, path)
        shutil.rmtree(old, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text)


def file_hash(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_once(path: Path, text: str) -> str:
    """Write a text file unless it exists; returns its content. Of several processes, one wins for all."""
    temporary = _beside(path)
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        try:
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
        return path.read_text()


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a failed write into a UserError that names `path` and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL:
            raise _full(path) from error
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"{path} cannot be written ({reason}); choose a folder that you may write to."
        ) from error
    except Exception as error:  # safetensors reports a failed write under its own type
        if type(error).__name__ == "SafetensorError" and "os error 28" in str(error).lower():
            raise _full(path) from error
        raise


def said_size(size: float) -> str:
    """Bytes as people say them: 2.50 GB, 17.0 MB."""
    return f"{size / 1e9:.2f} GB" if size >= 1e8 else f"{size / 1e6:.1f} MB"


def _full(path: Path) -> UserError:
    return UserError(f"No space is left to write {path}; free some and run the same command again.")


@contextmanager
def only_process(folder: Path, other: str) -> Iterator[None]:
    """Hold a folder, which is made if missing, for this process. Raises UserError(other) while another one holds it."""
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("w")
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UserError(other) from error
        yield


def _followed(path: Path) -> Path:
    """The file that a symbolic link names, which is then replaced instead of the link."""
    try:
        if not path.is_symlink():
            return path
        with suppress(FileNotFoundError):  # a link may name a file that is still to be written
            os.stat(path)  # a loop of links is an error here, where path.exists() would only say no
        return Path(os.path.realpath(path))
    except OSError as error:
        raise UserError(f"{path} is a symbolic link that leads nowhere; name another file.") from error


def _beside(path: Path, suffix: str = "") -> Path:
    """A hidden name in the same folder: short, since `path` may be as long as names go, and for one writer only."""
    return path.with_name(f".{secrets.token_hex(6)}.part{suffix if len(suffix) < 16 else ''}")


def _flush(path: Path) -> None:
    """Put the content of a file, or the names in a folder, onto the disk."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)
