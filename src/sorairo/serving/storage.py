"""Where files lie: a folder of this machine, or whatever fsspec can reach (s3://, gs://, memory://)."""

from __future__ import annotations

import os
import secrets
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from sorairo.types import UserError

__all__ = ["Store"]


class Store:
    """Names are relative, with forward slashes, and of our own making, never a user's.

    cache: a folder for copies of files that are not on this machine.
    """

    def __init__(self, url: str, cache: Path) -> None:
        self.cache = cache
        self.folder = None if "://" in url else Path(url)
        if self.folder is not None:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise UserError(f"The folder {url} cannot be created ({error.strerror}).") from error
            return
        import fsspec

        try:
            self.remote, self.root = fsspec.core.url_to_fs(url)
        except (ImportError, ValueError) as error:
            raise UserError(f"The store {url} cannot be used: {error}.") from error

    remote: Any
    root: str

    def put(self, path: Path, name: str) -> None:
        """Copy a file into the store; it appears whole or not at all."""
        if self.folder is None:
            temporary = f"{self.root}/{name}.{secrets.token_hex(4)}.part"
            self.remote.makedirs(os.path.dirname(f"{self.root}/{name}"), exist_ok=True)
            self.remote.put_file(str(path), temporary)
            self.remote.mv(temporary, f"{self.root}/{name}")
            return
        target = self.folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{secrets.token_hex(6)}.part")
        try:
            with path.open("rb") as source, temporary.open("wb") as out:
                shutil.copyfileobj(source, out, 2**20)
                out.flush()
                os.fsync(out.fileno())
            os.replace(temporary, target)
            folder = os.open(target.parent, os.O_RDONLY)
            os.fsync(folder)
            os.close(folder)
        finally:
            temporary.unlink(missing_ok=True)

    def local(self, name: str) -> Path | None:
        """The file on this machine, fetched if need be; None if there is none. It is to be read only."""
        if self.folder is not None:
            path = self.folder / name
            return path if path.is_file() else None
        copy = self.cache / name
        if copy.is_file() and not name.endswith("preview.webp"):
            return copy
        if not self.remote.exists(f"{self.root}/{name}"):
            return None
        copy.parent.mkdir(parents=True, exist_ok=True)
        temporary = copy.with_name(f".{secrets.token_hex(6)}.part")
        self.remote.get_file(f"{self.root}/{name}", str(temporary))
        os.replace(temporary, copy)
        return copy

    def remove(self, name: str) -> None:
        """Delete a file or a folder; what is not there is no error."""
        for root in (self.folder, self.cache):
            if root is not None:
                shutil.rmtree(root / name, ignore_errors=True)
                with suppress(OSError):
                    (root / name).unlink(missing_ok=True)
        if self.folder is None:
            with suppress(FileNotFoundError):
                self.remote.rm(f"{self.root}/{name}", recursive=True)

    def free(self) -> int:
        """Bytes that are free; a large number where nobody can say."""
        return 2**62 if self.folder is None else shutil.disk_usage(self.folder).free
