"""A file appears under its name whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sorairo.types import UserError

__all__ = ["check_folder", "replacing"]

FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


def check_folder(path: Path) -> None:
    """Refuse a file name that could never be written. Raises UserError."""
    folder = path.parent
    if path.is_dir():
        raise UserError(f"{path} is a folder; give the name of a file.")
    if not folder.is_dir():
        raise UserError(f"The folder {folder} does not exist; create it or choose another.")
    if not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        raise UserError(f"{path} cannot be written; choose a folder that you may write to.")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end and removed if anything goes wrong.

    Ctrl-C counts as going wrong. Raises UserError for a full disk and for a place that cannot be written.
    """
    check_folder(path)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.part{path.suffix}")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise explained(error, path) from error
    finally:
        temporary.unlink(missing_ok=True)


def explained(error: OSError, path: Path) -> UserError:
    """The sentence for an operating system's refusal to write `path`."""
    if error.errno in FULL:
        return UserError(f"No space is left to write {path}; free some or choose another folder.")
    if error.errno in FORBIDDEN:
        return UserError(f"{path} cannot be written; choose a folder that you may write to.")
    return UserError(f"{path} could not be written ({error.strerror or error}); choose another place.")
