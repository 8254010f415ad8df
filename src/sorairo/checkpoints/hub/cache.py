"""Where huggingface_hub keeps what any program fetched, read and written by its layout, without importing it.

models--OWNER--NAME/
  blobs/HASH                    contents, named by sha256, or by git's sha1 where they are small
  snapshots/COMMIT/PATH         links to them
  refs/REVISION                 the commit that a branch or tag stood at

Source: huggingface_hub's guide "Manage the cache". diffusers, transformers and ComfyUI's nodes share this cache.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

__all__ = ["CachedRepo", "is_offline", "link", "repo_of_snapshot"]

COMMIT = re.compile(r"[0-9a-f]{40}")


def hub_cache() -> Path:
    """HF_HUB_CACHE, or hub/ in HF_HOME, in XDG_CACHE_HOME/huggingface or in ~/.cache/huggingface."""
    own = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE")
    if own:
        return Path(own).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    home = os.environ.get("HF_HOME") or f"{base}/huggingface"
    return Path(home).expanduser() / "hub"


def is_offline() -> bool:
    """Whether HF_HUB_OFFLINE (or TRANSFORMERS_OFFLINE) forbids to ask a hub."""
    words = (os.environ.get("HF_HUB_OFFLINE", ""), os.environ.get("TRANSFORMERS_OFFLINE", ""))
    return any(word.upper() in ("1", "ON", "YES", "TRUE") for word in words)


@dataclass(frozen=True, kw_only=True)
class CachedRepo:
    """One repository's folder of the cache, there or not."""

    folder: Path

    @classmethod
    def of(cls, repo: str) -> CachedRepo:
        """Of "owner/name"."""
        return cls(folder=hub_cache() / f"models--{repo.replace('/', '--')}")

    def blob(self, hash_: str) -> Path:
        """Where the content of a hash ("sha256:..." or "blob:...") is or would be."""
        return self.folder / "blobs" / hash_.partition(":")[2]

    def snapshot(self, commit: str) -> Path:
        """The folder of one commit's files."""
        return self.folder / "snapshots" / commit

    def commit(self, revision: str) -> str | None:
        """The commit that a revision stood at when it was last asked for; None where that is not known."""
        if COMMIT.fullmatch(revision):
            return revision if self.snapshot(revision).is_dir() else None
        path = self.folder / "refs" / revision
        found = path.read_text().strip() if path.is_file() else ""
        return found if COMMIT.fullmatch(found) and self.snapshot(found).is_dir() else None

    def find(self, path: str, commit: str, size: int, hash_: str) -> Path | None:
        """The content of a file where it is here and whole by its size; None where it is not.

        Without symbolic links a cache keeps contents in the snapshot itself.
        """
        blob, named = self.blob(hash_), self.snapshot(commit) / path
        for place in (blob, named):
            is_other = place is named and place.is_symlink() and place.resolve() != blob.resolve()
            if place.is_file() and place.stat().st_size == size and not is_other:
                return place.resolve()
        return None

    def name(self, path: str, revision: str, commit: str, content: Path) -> None:
        """Give a content its name in the snapshot of a commit, and remember the commit of the revision."""
        pointer = self.snapshot(commit) / path
        if not pointer.exists() or pointer.resolve() != content.resolve():
            link(content, pointer, relative=True)
        if not COMMIT.fullmatch(revision):
            ref = self.folder / "refs" / revision
            ref.parent.mkdir(parents=True, exist_ok=True)
            ref.write_text(commit)

    def forget(self, content: Path) -> int:
        """Delete a content and its names in all snapshots; returns the bytes freed. Others' files are left alone."""
        content = content.resolve()
        if not content.is_relative_to(self.folder.resolve()) or not content.is_file():
            return 0
        freed = content.stat().st_size
        for pointer in list(self.folder.glob("snapshots/*/**/*")):
            if pointer.is_symlink() and pointer.resolve() == content:
                pointer.unlink()
        content.unlink()
        for folder in sorted(self.folder.glob("snapshots/**/"), key=lambda path: -len(path.parts)):
            with contextlib.suppress(OSError):  # not empty
                folder.rmdir()
        return freed


def repo_of_snapshot(folder: Path) -> str | None:
    """ "owner/name" where a folder is a snapshot of the cache; None where it is not."""
    kind, _, name = folder.parent.parent.name.partition("--")
    if kind != "models" or folder.parent.name != "snapshots" or not COMMIT.fullmatch(folder.name):
        return None
    return name.replace("--", "/", 1)


def link(content: Path, path: Path, *, relative: bool = False) -> None:
    """Let `path` be that content: a symbolic link, where there are none a hard link, else a copy."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    target = os.path.relpath(content, path.parent.resolve()) if relative else content
    try:
        path.symlink_to(target)
    except OSError:
        try:
            path.hardlink_to(content)
        except OSError:
            shutil.copyfile(content, path)
