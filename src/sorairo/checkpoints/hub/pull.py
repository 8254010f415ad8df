"""Pull a model from a hub: only what is needed, resumed where it stopped, checked by its hashes, never a pickle."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from sorairo.checkpoints.hub.remote import Hub, RemoteFile
from sorairo.checkpoints.hub.store import (
    SHORT_NAMES,
    Manifest,
    PulledFile,
    file_hash,
    folder_of,
    read_manifest,
    write_manifest,
)
from sorairo.checkpoints.tensors import PICKLES
from sorairo.types import UserError

__all__ = ["Pulled", "choose", "pull"]

# Beside weights and configuration: words of tokenizers, and the licence.
NEEDED = re.compile(
    r"\.(safetensors|json)$|(^|/)(merges\.txt|vocab\.txt|[\w.-]+\.model)$|(^|/)LICEN[SC]E[^/]*$", re.I
)
# The same weights in another precision, as in model.fp16.safetensors
VARIANT = re.compile(r"\.(fp16|bf16|fp32|ema|non_ema)[.-]|index\.(fp16|bf16|fp32)\.json$")
# progress(path, bytes of all files so far, bytes of all files)
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Pulled:
    """What a pull did. fetched: bytes that came over the wire. left_out: pickles whose folder has safetensors."""

    folder: Path
    manifest: Manifest
    fetched: int
    left_out: tuple[str, ...]


def choose(files: Sequence[RemoteFile], repo: str) -> tuple[list[RemoteFile], list[str]]:
    """What of a repository to fetch, and its pickles, which are not fetched.

    Raises UserError where a folder's weights are there as a pickle only, and where there are no weights.
    """
    names = [file.path for file in files]
    diffusers = "model_index.json" in names
    weights = [name for name in names if name.endswith(".safetensors")]
    plain = {folder(name) for name in weights if not VARIANT.search(name)}
    pickles = [name for name in names if name.endswith(PICKLES)]

    def wanted(file: RemoteFile) -> bool:
        name = file.path
        if diffusers and "/" not in name and name.endswith(".safetensors"):
            return False  # the whole model once more, in one file
        if VARIANT.search(name) and folder(name) in plain:
            return False
        return NEEDED.search(name) is not None

    chosen = [file for file in files if wanted(file)]
    held = {folder(file.path) for file in chosen if file.path.endswith(".safetensors")}
    alone = [name for name in pickles if folder(name) not in held and not (diffusers and "/" not in name)]
    if alone:
        raise UserError(
            f"{repo} has {alone[0]} only as a pickle, which can run code when it is opened: look for a --revision with"
            " safetensors, or convert it where you trust it (docs/models.md shows how)."
        )
    if not held:
        raise UserError(f"{repo} holds no .safetensors weights, so there is nothing to pull.")
    for file in chosen:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\x00]", file.path):
            raise UserError(f"{repo} names a file outside its folder ({file.path!r}); it was not pulled.")
    return chosen, pickles


def pull(
    repo: str,
    *,
    revision: str = "main",
    endpoint: str | None = None,
    progress: Progress | None = None,
    hub: Hub | None = None,
) -> Pulled:
    """Fetch a repository ("owner/name", or a short name) into the user's data folder, or finish doing so.

    What is there already, with the same hash, is not fetched again. Raises UserError where the hub refuses or is not
    reached, the disk is too small, a hash is wrong, or weights are there as a pickle only.
    """
    repo = SHORT_NAMES.get(repo.lower(), repo)
    target = folder_of(repo)
    hub = hub or Hub.of(repo, revision, endpoint)
    before = read_manifest(target)
    if before is None and target.is_dir() and any(target.iterdir()):
        raise UserError(f"{target} exists and was not pulled; move it away first.")
    chosen, pickles = choose(hub.files(), repo)
    files = tuple(PulledFile(path=file.path, size=file.size, hash=file.hash) for file in chosen)
    manifest = Manifest(repo=repo, revision=revision, files=files, complete=False)
    target.mkdir(parents=True, exist_ok=True)
    with _alone(target):
        _forget_others(target, before, manifest)
        have = {file.path for file in files if _is_whole(target / file.path, file.size)}
        _check_space(target, [file for file in files if file.path not in have])
        write_manifest(target, manifest)
        fetched, done = 0, sum(file.size for file in files if file.path in have)

        def arrived(path: str, count: int) -> None:
            nonlocal done
            done += count
            if progress:
                progress(path, done, manifest.size)

        for file in files:
            if file.path not in have:
                fetched += _fetch(hub, file, target / file.path, arrived)
        manifest = replace(manifest, complete=True)
        write_manifest(target, manifest)
    return Pulled(folder=target, manifest=manifest, fetched=fetched, left_out=tuple(pickles))


def folder(path: str) -> str:
    """The folder that a file of a repository is in; "" is the repository itself."""
    return path.rpartition("/")[0]


def _is_whole(path: Path, size: int) -> bool:
    """A file got its name once its hash was right, so its size is enough; what was cut since is fetched again."""
    return path.is_file() and path.stat().st_size == size


def _part(target: Path, hash_: str) -> Path:
    """Where a file grows; its name holds the hash, so that another revision's beginning is never gone on with."""
    return target.with_name(f"{target.name}.{hash_.partition(':')[2][:12]}.part")


def _fetch(hub: Hub, file: PulledFile, target: Path, arrived: Callable[[str, int], None]) -> int:
    """Fetch one file, resuming its part, and give it its name once its hash is right; bytes that came.

    A part that was resumed and turns out wrong is thrown away and fetched once more from the beginning.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _part(target, file.hash)
    came = 0
    for resumed in (True, False):
        start = part.stat().st_size if part.is_file() else 0
        if start > file.size:
            part.unlink()
            start = 0
        if start:
            arrived(file.path, start)
        with part.open("ab") as out:
            for offset, chunk in hub.read(file.path, start, file.size):
                if offset != out.tell():  # the hub started again
                    arrived(file.path, offset - out.tell())
                    out.truncate(offset)
                    out.seek(offset)
                out.write(chunk)
                came += len(chunk)
                arrived(file.path, len(chunk))
            out.flush()
            os.fsync(out.fileno())
        if file_hash(part, file.hash.partition(":")[0]) == file.hash:
            os.replace(part, target)
            return came
        part.unlink()
        arrived(file.path, -file.size)
        if not (start and resumed):
            break
    raise UserError(
        f"{file.path} of {hub.repo} did not arrive as the hub describes it (its hash differs), so it was not kept;"
        " run the same command again."
    )


def _forget_others(target: Path, before: Manifest | None, now: Manifest) -> None:
    """Remove what an earlier pull of another revision left: other files, and files of another content."""
    old = {file.path: file for file in before.files} if before else {}
    new = {file.path: file for file in now.files}
    for path, file in old.items():
        if new.get(path) != file:
            (target / path).unlink(missing_ok=True)
    growing = {_part(target / file.path, file.hash) for file in now.files}
    for part in target.rglob("*.part"):
        if part not in growing:
            part.unlink()


def _check_space(target: Path, files: Sequence[PulledFile]) -> None:
    """Raise UserError, before any work, if the disk has no room for the rest."""
    parts = (_part(target / file.path, file.hash) for file in files)
    need = sum(file.size for file in files) - sum(part.stat().st_size for part in parts if part.is_file())
    free = shutil.disk_usage(target).free
    if need > free:
        raise UserError(
            f"{need / 1e9:.1f} GB are to come and {target} has {free / 1e9:.1f} GB free; make room, or set SORAIRO_HOME"
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
