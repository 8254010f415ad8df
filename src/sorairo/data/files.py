"""Files that are whole or absent: written under a temporary name, flushed to disk, then renamed."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sorairo.types import UserError

__all__ = ["disk_errors", "whole_file", "whole_folder", "write_once", "write_text"]


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a temporary path beside `path`; after the block its content stands under the final name.

    An exception inside leaves whatever stood there before. Raises UserError when the disk is full or the place
    cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            yield temporary
            _flush(temporary)
            os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """As whole_file, for a folder. One that stands under the final name is replaced."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with disk_errors(path):
            shutil.rmtree(temporary, ignore_errors=True)
            temporary.mkdir(parents=True)
            yield temporary
            for file in sorted(temporary.rglob("*")):
                if file.is_file():
                    _flush(file)
            if path.exists():  # a folder cannot be renamed over another
                old = path.with_name(f".{path.name}.{os.getpid()}.old")
                os.replace(path, old)
                os.replace(temporary, path)
                shutil.rmtree(old, ignore_errors=True)
            else:
                os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text)


def write_once(path: Path, text: str) -> str:
    """Write a text file unless it is there; returns what stands there. Of several processes, one wins for all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text)
        try:
            with suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            temporary.unlink()
        return path.read_text()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turns a failed write into a UserError that names `path` and the remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise UserError(
                f"The disk is full: make room for {path} and run the same command again."
            ) from error
        reason = (error.strerror or str(error)).lower()
        raise UserError(
            f"Cannot write {path} ({reason}): choose another folder or change its rights."
        ) from error
    except Exception as error:  # safetensors reports a failed write under its own type
        if type(error).__name__ == "SafetensorError" and "os error 28" in str(error).lower():
            raise UserError(
                f"The disk is full: make room for {path} and run the same command again."
            ) from error
        raise
