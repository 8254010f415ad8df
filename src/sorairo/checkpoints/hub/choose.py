"""Which files of a repository are needed: no pickles, no second precision, not every model of a collection."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from sorairo.checkpoints.headers import PICKLES
from sorairo.checkpoints.hub.store import SHORT_NAMES
from sorairo.types import UserError

__all__ = ["Choice", "RemoteFile", "choose"]

WEIGHTS = (".safetensors", ".gguf")
# Beside weights and configuration: words of tokenizers, and the licence.
NEEDED = re.compile(
    r"\.(safetensors|gguf|json)$|(^|/)(merges\.txt|vocab\.txt|[\w.-]+\.model)$|(^|/)LICEN[SC]E[^/]*$", re.I
)
# The same weights in another precision, as in model.fp16.safetensors, from the best to the least
VARIANT = re.compile(r"\.(bf16|fp16|fp32|ema|non_ema)[.-]|index\.(bf16|fp16|fp32)\.json$")
VARIANTS = ("", "bf16", "fp16", "fp32", "non_ema", "ema")
SHARD = re.compile(r"-\d{5}-of-\d{5}(?=\.)")
# The parts of a folder in the layout of Wan's authors, who publish them as pickles
PARTS = {"codec": "*VAE*", "text encoder": "models_t5*", "CLIP": "models_clip*"}
UNUSED = ("transformer_ode/", "lora/")
"""Parts that no index names: of BestWishYsh/Helios-Distilled, and LoRAs of meituan-longcat/LongCat-Video, which are
pulled one by one."""
SHOWN = 6


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """hash: as in PulledFile."""

    path: str
    size: int
    hash: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """files: what to fetch. pickles: what is not, because opening it can run code."""

    files: tuple[RemoteFile, ...]
    pickles: tuple[str, ...] = ()


def choose(files: Sequence[RemoteFile], repo: str, within: str = "") -> Choice:
    """What of a repository to fetch. within: a folder or a file of it, "" for the whole.

    Raises UserError where a part's weights are there as a pickle only, where there are no weights, and for a
    collection of models and none is named.
    """
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts or re.search(r"[\\:\x00]", file.path):
            raise UserError(f"{repo} names a file outside its folder ({file.path!r}); it was not pulled.")
    if any(file.path == within for file in files):
        return _one_file(files, repo, within)
    inside = [file for file in files if not within or file.path.startswith(f"{within}/")]
    if not inside:
        raise UserError(f"{repo} has no {within}; its weights are {_listed(files)}.")
    return _whole(inside, repo, f"{within}/" if within else "")


def _one_file(files: Sequence[RemoteFile], repo: str, path: str) -> Choice:
    """A file that was named, with the other shards of its model and their index."""
    if path.endswith(PICKLES):
        raise UserError(
            f"{repo}/{path} is a pickle, which can run code when it is opened; pull a .safetensors file, or convert it"
            " where you trust it (docs/models.md shows how)."
        )
    if not NEEDED.search(path):
        raise UserError(f"{repo}/{path} is no file of a model; its weights are {_listed(files)}.")
    stem = SHARD.sub("", path)
    index = f"{stem}.index.json" if stem != path else ""
    return Choice(
        files=tuple(file for file in files if SHARD.sub("", file.path) == stem or file.path == index)
    )


def _whole(files: Sequence[RemoteFile], repo: str, prefix: str) -> Choice:
    """A repository, or a folder of it: `prefix` is the folder's path, with a slash."""
    names = [file.path.removeprefix(prefix) for file in files]
    diffusers = "model_index.json" in names or "dit/config.json" in names
    weights = [name for name in names if name.endswith(WEIGHTS)]
    if diffusers:  # not the whole model once more in one file, nor a step of its training
        weights = [name for name in weights if "/" in name and not name.startswith(UNUSED)]
    best = {folder(name): len(VARIANTS) for name in weights}
    for name in weights:
        best[folder(name)] = min(best[folder(name)], _rank(name))

    def wanted(name: str) -> bool:
        if name.endswith(WEIGHTS) and name not in weights:
            return False
        if _rank(name) and _rank(name) != best.get(folder(name)):
            return False
        return NEEDED.search(name) is not None

    kept = [name for name in weights if wanted(name)]
    pickles = [name for name in names if name.endswith(PICKLES)]
    if not diffusers:
        _refuse_collection(kept, files, repo)
    _refuse_pickles(names, kept, [name for name in pickles if "/" in name or not diffusers], repo)
    if not kept:
        raise UserError(f"{repo} holds no .safetensors or .gguf weights, so there is nothing to pull.")
    chosen = tuple(file for file in files if wanted(file.path.removeprefix(prefix)))
    return Choice(files=chosen, pickles=tuple(prefix + name for name in pickles))


def _refuse_pickles(names: Sequence[str], kept: Sequence[str], pickles: Sequence[str], repo: str) -> None:
    """Raise UserError for a part that is there as a pickle only."""
    held = {folder(name) for name in kept}
    alone = [name for name in pickles if folder(name) not in held]
    if "config.json" in names or "high_noise_model/config.json" in names:  # perhaps as Wan's authors save it
        for pattern in PARTS.values():
            those = [name for name in names if PurePosixPath(name).match(pattern) and "/" not in name]
            if not any(name.endswith(WEIGHTS) for name in those):
                alone += [name for name in those if name.endswith(PICKLES)]
    if not alone:
        return
    same = next((name for name in SHORT_NAMES.values() if name.lower() == f"{repo}-diffusers".lower()), None)
    remedy = (
        f"pull {same}, the same model as safetensors"
        if same
        else "look for a --revision with safetensors, or convert it where you trust it (docs/models.md shows how)"
    )
    several = f" and {len(alone) - 1} more" if len(alone) > 1 else ""
    raise UserError(
        f"{repo} has {alone[0]}{several} only as a pickle, which can run code when it is opened: {remedy}."
    )


def _refuse_collection(kept: Sequence[str], files: Sequence[RemoteFile], repo: str) -> None:
    """Raise UserError where one folder holds several models, since nobody wants all of them."""
    models: dict[str, set[str]] = {}
    for name in kept:
        models.setdefault(folder(name), set()).add(SHARD.sub("", name))
    if any(len(those) > 1 and _unlike(those) for those in models.values()):
        raise UserError(
            f"{repo} is a collection ({_listed(files)}); name the file: sorairo models pull {repo}/PATH"
        )


def _unlike(names: set[str]) -> bool:
    """Whether files of one folder are several models, and not the parts of one in the authors' layout."""
    parts = [name for name in names if any(PurePosixPath(name).match(p) for p in PARTS.values())]
    return len(names) - len(parts) > 1


def _rank(name: str) -> int:
    """The place of a file's variant in VARIANTS."""
    found = VARIANT.search(name)
    return VARIANTS.index(found[1] or found[2]) if found else 0


def _listed(files: Sequence[RemoteFile]) -> str:
    names = [file.path for file in files if file.path.endswith(WEIGHTS)]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more if names else "pickles, or none"


def folder(path: str) -> str:
    """The folder that a file of a repository is in; "" is the repository itself."""
    return path.rpartition("/")[0]
