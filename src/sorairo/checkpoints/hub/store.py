"""Where pulled models live on this machine, what came with each, and whether all of it is there."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable, Container
from dataclasses import dataclass
from pathlib import Path

from sorairo.checkpoints.hub.cache import CachedRepo, repo_of_snapshot
from sorairo.config import from_json, to_json
from sorairo.types import UserError

__all__ = [
    "SHORT_NAMES",
    "Manifest",
    "PulledFile",
    "cached",
    "check_complete",
    "file_hash",
    "find",
    "folder_of",
    "is_whole",
    "models_home",
    "name_of",
    "pulled",
    "read_manifest",
    "remove",
    "repo_of",
    "split_name",
    "verify",
    "write_manifest",
]

MANIFEST = ".sorairo-pull.json"
ADDRESS = re.compile(
    r"https?:/+[^/]+/([^/?#]+/[^/?#]+)/?(?:(?:blob|resolve|tree|raw)/[^/?#]+/?([^?#]*?)/?)?(?:[?#].*)?"
)
"""Of a page or a file of a hub: its repository, and the path in it."""
FILES = (
    ".safetensors",
    ".gguf",
)  # what a name of more than two parts ends with, where it is no folder's path
SHORT_NAMES = {
    "dit-xl-2-256": "facebook/DiT-XL-2-256",
    "dit-xl-2-512": "facebook/DiT-XL-2-512",
    "wan2.1-1.3b": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
    "wan2.1-14b": "Wan-AI/Wan2.1-T2V-14B-Diffusers",
    "wan2.1-i2v-14b-480p": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
    "wan2.1-i2v-14b-720p": "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers",
    "wan2.1-flf2v-14b": "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
    "helios-base": "BestWishYsh/Helios-Base",
    "helios-distilled": "BestWishYsh/Helios-Distilled",
    "longcat-video": "meituan-longcat/LongCat-Video",
    "skyreels-v2-df-1.3b-540p": "Skywork/SkyReels-V2-DF-1.3B-540P-Diffusers",
    "skyreels-v2-df-14b-540p": "Skywork/SkyReels-V2-DF-14B-540P-Diffusers",
    "skyreels-v2-df-14b-720p": "Skywork/SkyReels-V2-DF-14B-720P-Diffusers",
    "wan2.1-self-forcing-1.3b": "wlsaidhi/SFWan2.1-T2V-1.3B-Diffusers",
    "wan2.1-vace-1.3b": "Wan-AI/Wan2.1-VACE-1.3B-diffusers",
    "wan2.1-vace-14b": "Wan-AI/Wan2.1-VACE-14B-diffusers",
    "wan2.2-ti2v-5b": "Wan-AI/Wan2.2-TI2V-5B-Diffusers",
    "wan2.2-t2v-a14b": "Wan-AI/Wan2.2-T2V-A14B-Diffusers",
    "wan2.2-i2v-a14b": "Wan-AI/Wan2.2-I2V-A14B-Diffusers",
}


@dataclass(frozen=True, kw_only=True)
class PulledFile:
    """hash: "sha256:..." of the content, or "blob:...", git's sha1 of a blob (what hubs know of small files).

    fetched: whether a pull brought it into the cache, so that removing the model may delete it there.
    """

    path: str
    size: int
    hash: str
    fetched: bool = False


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What a pull fetches; written before the first byte, and once more, complete, after the last."""

    repo: str
    revision: str
    files: tuple[PulledFile, ...]
    complete: bool

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


def models_home() -> Path:
    """SORAIRO_HOME/models, or sorairo/models in the user's data folder (XDG_DATA_HOME, ~/.local/share)."""
    own = os.environ.get("SORAIRO_HOME")
    if own:
        return Path(own).expanduser() / "models"
    data = os.environ.get("XDG_DATA_HOME", "")
    # the XDG rules say to ignore a path that is not absolute
    base = Path(data) if Path(data).is_absolute() else Path.home() / ".local" / "share"
    return base / "sorairo" / "models"


def check_repo(repo: str) -> str:
    """The repo itself, if it is "owner/name" and so is a folder's name too."""
    parts = repo.split("/")
    if len(parts) != 2 or not all(part and part.strip(".") and "\\" not in part for part in parts):
        raise UserError(f"{repo!r} is no repository; write owner/name, or one of {', '.join(SHORT_NAMES)}.")
    return repo


def split_name(name: str) -> tuple[str, str]:
    """("owner/name", the path in it or "") of a short name, "owner/name" or "owner/name/path". Raises UserError."""
    _check_no_address(name)
    name = SHORT_NAMES.get(name.lower(), name).rstrip("/")
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\\" in part for part in parts[2:]):
        check_repo(name)
    return check_repo("/".join(parts[:2])), "/".join(parts[2:])


def _check_no_address(name: str) -> None:
    """Raise UserError for the address of a page or a file of a hub, with the name to write in its place."""
    if address := ADDRESS.fullmatch(name):
        raise UserError(f"{name} is an address; write {'/'.join(filter(None, address.groups()))}.")


def folder_of(repo: str) -> Path:
    """Where a repository ("owner/name", or a short name) is or would be."""
    return models_home().joinpath(*check_repo(SHORT_NAMES.get(repo.lower(), repo)).split("/"))


def find(name: str) -> Path | None:
    """The folder of a model that is here, by its short name or repository; None for what is no such name.

    "owner/name/path" is a file or folder of one that was pulled. What was not pulled, but lies in the cache of
    huggingface_hub, is found there. Raises UserError, which says how to get it, for such a name that is not here.
    """
    _check_no_address(name)
    full = SHORT_NAMES.get(name.lower(), name)
    if full == name and (name.count("/") < 1 or name.startswith((".", "/", "~"))):
        return None
    if full.count("/") > 1 and not full.endswith(FILES):
        return None
    repo, within = split_name(full)
    folder = folder_of(repo)
    found = folder / within if within else folder
    if found.exists():
        return found
    cache = CachedRepo.of(repo)
    commit = cache.commit("main")
    for known in (within,) if within else ("model_index.json", "config.json", "dit/config.json"):
        if commit and (cache.snapshot(commit) / known).is_file():
            return cache.snapshot(commit) / within if within else cache.snapshot(commit)
    raise UserError(f"{name} is not on this machine; get it with: sorairo models pull {full}")


def repo_of(folder: Path) -> str | None:
    """ "owner/name" of a folder that was pulled, or that lies in the cache of huggingface_hub; None for any other."""
    manifest = read_manifest(folder)
    return manifest.repo if manifest else repo_of_snapshot(folder.absolute())


def name_of(folder: Path) -> str:
    """The name of a checkpoint's folder; in the cache of huggingface_hub, where that is a commit, the repository's."""
    repo = repo_of_snapshot(folder.absolute())
    return repo.split("/")[1] if repo else folder.resolve().name


def is_whole(path: Path, size: int) -> bool:
    """A file got its name once its hash was right, so its size is enough; what was cut since is fetched again."""
    return path.is_file() and path.stat().st_size == size


def read_manifest(folder: Path) -> Manifest | None:
    """What was pulled into a folder; None for a folder that was not pulled."""
    path = folder / MANIFEST
    return from_json(Manifest, path) if path.is_file() else None


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Written to a temporary name, then renamed."""
    part = folder / (MANIFEST + ".part")
    to_json(manifest, part)
    os.replace(part, folder / MANIFEST)


def check_complete(folder: Path) -> None:
    """Raise UserError for a folder that is not there, or whose pull has not come to its end."""
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist.")
    manifest = read_manifest(folder)
    if manifest and not manifest.complete:
        raise UserError(f"{folder} is half pulled; finish it with: sorairo models pull {manifest.repo}")


def pulled() -> list[tuple[Path, Manifest]]:
    """All pulled models, half-pulled ones too, by name."""
    found = sorted(models_home().glob(f"*/*/{MANIFEST}"))
    return [(path.parent, manifest) for path in found if (manifest := read_manifest(path.parent))]


def cached(known: Container[str]) -> list[tuple[str, Path]]:
    """(repository, folder) of the published models in the cache of huggingface_hub, but for those known already."""
    found = []
    for repo in SHORT_NAMES.values():
        commit = CachedRepo.of(repo).commit("main")
        if repo not in known and commit and (folder := CachedRepo.of(repo).snapshot(commit)).is_dir():
            found.append((repo, folder))
    return found


def file_hash(path: Path, kind: str, progress: Callable[[int], None] | None = None) -> str:
    """The hash of a file in the form of PulledFile.hash. kind: "sha256" or "blob". progress: of bytes read."""
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(b"blob %d\0" % path.stat().st_size)
    with path.open("rb") as file:
        while chunk := file.read(1 << 22):
            digest.update(chunk)
            if progress:
                progress(len(chunk))
    return f"{kind}:{digest.hexdigest()}"


def verify(folder: Path, progress: Callable[[int], None] | None = None) -> list[str]:
    """Read every pulled file again; one sentence for each that is not what was pulled, none if all is well."""
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{folder} was not pulled, so there are no hashes to verify it against.")
    faults = [] if manifest.complete else ["The pull has not come to its end."]
    for file in manifest.files:
        path = folder / file.path
        if not path.is_file():
            faults.append(f"{file.path} is missing.")
        elif path.stat().st_size != file.size:
            faults.append(f"{file.path} has {path.stat().st_size} bytes in place of {file.size}.")
        elif file_hash(path, file.hash.partition(":")[0], progress) != file.hash:
            faults.append(f"{file.path} is not what was pulled (its hash differs).")
    return faults


def remove(repo: str) -> int:
    """Delete a pulled model; returns the bytes freed. Raises UserError where there is none.

    What a pull brought into the cache of huggingface_hub is deleted there too; what was there before it stays.
    """
    folder = folder_of(repo)
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(f"{repo} has not been pulled, so there is nothing to remove.")
    cache = CachedRepo.of(manifest.repo)
    freed = sum(cache.forget(folder / file.path) for file in manifest.files if file.fetched)
    freed += sum(
        path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink()
    )
    shutil.rmtree(folder)
    if not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return freed
