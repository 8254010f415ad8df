"""Pull a model from a hub into the cache that huggingface_hub's users share, and link it: only what is needed, resumed
where it stopped, checked by its hashes, never a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from sorairo.checkpoints.hub.cache import CachedRepo, hub_cache, is_offline, link
from sorairo.checkpoints.hub.choose import Choice, RemoteFile, choose
from sorairo.checkpoints.hub.remote import Hub
from sorairo.checkpoints.hub.store import (
    Manifest,
    PulledFile,
    file_hash,
    folder_of,
    is_whole,
    read_manifest,
    split_name,
    write_manifest,
)
from sorairo.types import UserError

__all__ = ["Pulled", "pull"]

PART = ".sorairo.part"
# progress(path, bytes of all files so far, bytes of all files)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What a pull did. fetched: bytes that came over the wire. left_out: pickles whose folder has safetensors.

    path: the folder, or the file or folder in it that was asked for.
    """

    folder: Path
    path: Path
    manifest: Manifest
    fetched: int
    left_out: tuple[str, ...]


def pull(
    name: str,
    *,
    revision: str = "main",
    endpoint: str | None = None,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> Pulled:
    """Fetch what is needed of a repository, or finish doing so.

    name: "owner/name", "owner/name/path" for one folder or file of it, or a short name. What is there already, here or
    in the cache of huggingface_hub, is not fetched again. Raises UserError where the hub refuses or is not reached,
    the disk is too small, a hash is wrong, or weights are there as a pickle only.
    """
    repo, within = split_name(name)
    target, cache = folder_of(repo), CachedRepo.of(repo)
    before = read_manifest(target)
    if before is None and target.is_dir() and any(target.iterdir()):
        raise UserError(f"{target} exists and was not pulled; move it away first.")
    if is_offline():
        commit, choice = _offline(cache, repo, revision, within)
        hub = None
    else:
        hub = hub or Hub.of(repo, revision, endpoint)
        commit, files = hub.files()
        choice = choose(files, repo, within)
    target.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        manifest = _manifest(choice, repo, revision, within, before)
        _forget_others(target, cache, before, manifest)
        have = {file.path for file in choice.files if is_whole(target / file.path, file.size)}
        there = {
            file.path: found
            for file in choice.files
            if file.path not in have and (found := cache.find(file.path, commit, file.size, file.hash))
        }
        missing = [file for file in choice.files if file.path not in have | there.keys()]
        _check_space(cache, missing)
        write_manifest(target, manifest)
        for path, content in there.items():
            link(content, target / path)
        sizes = {file.path: file.size for file in choice.files}
        done = sum(sizes.values()) - sum(file.size for file in missing)
        fetched = 0
        if progress:
            progress("", done, sum(sizes.values()))
        for file in missing:
            assert hub is not None

            def arrived(here: int, file: RemoteFile = file, done: int = done) -> None:
                if progress:
                    progress(file.path, done + here, sum(sizes.values()))

            fetched += _fetch(hub, cache, file, commit, target / file.path, arrived)
            manifest = _brought(manifest, file.path)
            write_manifest(target, manifest)
            done += file.size
        for file in choice.files:
            cache_file = cache.find(file.path, commit, file.size, file.hash)
            if cache_file is not None:
                cache.name(file.path, revision, commit, cache_file)
        whole = all(is_whole(target / file.path, file.size) for file in manifest.files)
        manifest = replace(manifest, complete=whole)
        write_manifest(target, manifest)
    return Pulled(
        folder=target,
        path=target / within if within else target,
        manifest=manifest,
        fetched=fetched,
        left_out=choice.pickles,
    )


def _manifest(choice: Choice, repo: str, revision: str, within: str, before: Manifest | None) -> Manifest:
    """What will be there. A folder or file of a repository comes beside what was pulled of it before."""
    known = {(file.path, file.hash): file.fetched for file in before.files} if before else {}
    files = {
        file.path: PulledFile(
            path=file.path, size=file.size, hash=file.hash, fetched=known.get((file.path, file.hash), False)
        )
        for file in choice.files
    }
    if within and before:
        files = {file.path: file for file in before.files} | files
    return Manifest(repo=repo, revision=revision, files=tuple(files.values()), complete=False)


def _brought(manifest: Manifest, path: str) -> Manifest:
    """The manifest, with a file marked as one that this pull brought into the cache."""
    files = (replace(file, fetched=True) if file.path == path else file for file in manifest.files)
    return replace(manifest, files=tuple(files))


def _offline(cache: CachedRepo, repo: str, revision: str, within: str) -> tuple[str, Choice]:
    """(commit, what of the cache's snapshot is needed), without asking a hub."""
    commit = cache.commit(revision)
    if commit is None:
        raise UserError(
            f"HF_HUB_OFFLINE is set, and {repo} at revision {revision} is not in {hub_cache()}; unset it to pull."
        )
    snapshot = cache.snapshot(commit)
    files = []
    for path in sorted(path for path in snapshot.rglob("*") if path.is_file()):
        digest = path.resolve().name
        kind = {64: "sha256", 40: "blob"}.get(len(digest)) if path.is_symlink() else None
        files.append(
            RemoteFile(
                path=path.relative_to(snapshot).as_posix(),
                size=path.stat().st_size,
                hash=f"{kind}:{digest}" if kind else file_hash(path, "sha256"),
            )
        )
    return commit, choose(files, repo, within)


def _part(cache: CachedRepo, hash_: str) -> Path:
    """Where a file grows; its name holds the hash, so that another revision's beginning is never gone on with."""
    blob = cache.blob(hash_)
    return blob.with_name(blob.name + PART)


def _fetch(
    hub: Hub,
    cache: CachedRepo,
    file: RemoteFile,
    commit: str,
    target: Path,
    arrived: Callable[[int], None],
) -> int:
    """Fetch one file into the cache, resuming its part, and link it once its hash is right; bytes that came.

    A part that was resumed and turns out wrong is thrown away and fetched once more from the beginning.
    """
    part = _part(cache, file.hash)
    came = 0
    for _ in range(2):
        start = part.stat().st_size if part.is_file() else 0
        arrived(start)
        content = hub.fetch(file, commit, part, arrived)
        came += file.size - start
        if file_hash(content, file.hash.partition(":")[0]) == file.hash:
            if content == part:
                os.replace(part, cache.blob(file.hash))
                content = cache.blob(file.hash)
            link(content.resolve(), target)
            return came
        content.unlink()
        if not start:
            break
    raise UserError(
        f"{file.path} of {hub.repo} did not arrive as the hub describes it (its hash differs), so it was not kept;"
        " run the same command again."
    )


def _forget_others(target: Path, cache: CachedRepo, before: Manifest | None, now: Manifest) -> None:
    """Remove what an earlier pull of another revision left: other files, and files of another content."""
    new = {file.path: file.hash for file in now.files}
    for file in before.files if before else ():
        if new.get(file.path) != file.hash:
            (target / file.path).unlink(missing_ok=True)
    growing = {_part(cache, file.hash) for file in now.files}
    for part in [*target.rglob("*.part"), *cache.folder.glob(f"blobs/*{PART}")]:
        if part not in growing:
            part.unlink()


def _check_space(cache: CachedRepo, files: Sequence[RemoteFile]) -> None:
    """Raise UserError, before any work, if the disk has no room for the rest."""
    parts = (_part(cache, file.hash) for file in files)
    need = sum(file.size for file in files) - sum(part.stat().st_size for part in parts if part.is_file())
    place = cache.folder
    while not place.exists():
        place = place.parent
    free = shutil.disk_usage(place).free
    if need > free:
        raise UserError(
            f"{need / 1e9:.1f} GB are to come and {place} has {free / 1e9:.1f} GB free; make room, or set HF_HOME"
            " to a folder on another disk."
        )


@contextlib.contextmanager
def _alone(target: Path) -> Iterator[None]:
    """Only one process pulls into a folder at a time."""
    try:
        import fcntl
    except ImportError:  # Windows; the hashes still catch what two at once would spoil
        yield
        return
    name = hashlib.sha256(str(target).encode()).hexdigest()[:12]
    with (target.parent / f".{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UserError(f"{target} is being pulled by another process; wait for that.") from error
        yield
