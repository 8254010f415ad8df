"""What files of weights hold, by their headers: which files count, and each tensor's name, shape and place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from math import prod
from pathlib import Path
from typing import TypeGuard

import torch

from sorairo.checkpoints.gguf import MAGIC, gguf_tensors, t5_names
from sorairo.config import parse_json
from sorairo.nn.unpack import FORMS
from sorairo.nn.weights import index_files
from sorairo.types import UserError

__all__ = [
    "DTYPES",
    "PICKLES",
    "Entry",
    "few",
    "files_like",
    "is_gguf",
    "read_entry",
    "read_header",
    "safetensors_header",
    "weight_entries",
    "weight_files",
]

# What torch.save and its kin write: opening one can run code that it carries.
PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle")
DTYPES = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E8M0": torch.float8_e8m0fnu,  # scales of MX forms
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
# First bytes, in lower case, of files that are no safetensors -> what they are
PICKLE = "is a pickle, whatever its name says, which can run code when it is opened; get it as safetensors"
OTHERS = [
    (b"pk\x03\x04", PICKLE),
    *((bytes([0x80, version]), PICKLE) for version in range(2, 6)),
    (
        b"version https://git-lfs",
        "is a pointer of Git LFS, not the weights; get the file itself (git lfs pull)",
    ),
    (b"<!doctype", "is a web page, not weights; download the file itself"),
    (b"<html", "is a web page, not weights; download the file itself"),
    (b"{", "is JSON, such as a configuration, not weights; give the file or the folder of the weights"),
]
MAX_NDIM = 8
WRAPPERS = re.compile(
    r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\."
)
"""What torch.compile, FSDP, checkpointing and Lightning put into the names of what they wrap."""
HEADER_LIMIT = 100_000_000  # bytes; the format's own


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor of a file. start, stop: its bytes, counted from the file's beginning. scale: what its values are
    times, one number or one for each row, where the file keeps that apart (scaled.py). form: how a GGUF file packs it,
    see nn/unpack.py; None where it does not."""

    path: Path
    dtype: torch.dtype
    shape: tuple[int, ...]
    start: int
    stop: int
    scale: Entry | None = None
    form: str | None = None

    @property
    def numel(self) -> int:
        return prod(self.shape)


def read_header(path: Path) -> dict[str, Entry]:
    """The tensors of a .safetensors or .gguf file by name, without what compilers and trainers put into names, not yet
    read. Raises UserError where it is damaged."""
    if is_gguf(path):
        tensors = gguf_tensors(path, FORMS)
        return {t5_names(name): Entry(path=path, **values) for name, values in tensors.items()}
    entries = safetensors_header(path)[0]
    named = {WRAPPERS.sub("", name): entry for name, entry in entries.items()}
    return named if len(named) == len(entries) else entries


def read_entry(entry: Entry) -> torch.Tensor:
    """One small tensor of a file, copied."""
    with entry.path.open("rb") as file:
        file.seek(entry.start)
        data = bytearray(file.read(entry.stop - entry.start))
    if not data:
        return torch.empty(entry.shape, dtype=entry.dtype)
    return torch.frombuffer(data, dtype=entry.dtype).view(entry.shape)


def safetensors_header(path: Path) -> tuple[dict[str, Entry], dict[str, str]]:
    """(the tensors of a .safetensors file by name, its metadata). Raises UserError where it is damaged."""
    damaged = UserError(f"{path} is damaged or cut short; pull or copy it again.")
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 0 < length <= min(size - 8, HEADER_LIMIT):
            _check_kind(path)
            raise damaged
        header = parse_json(file.read(length), where=f"{path}, in its header,")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise UserError(f"{path} is damaged: its metadata is no table of texts; pull or copy it again.")
    entries = {name: _entry(path, name, value, 8 + length) for name, value in header.items()}
    end = 8 + length
    for name, entry in sorted(entries.items(), key=lambda item: (item[1].start, item[1].stop)):
        if entry.start < end:
            raise UserError(f"{path} is damaged: {name} overlaps another tensor; pull or copy it again.")
        end = entry.stop
    if end > size:
        raise damaged
    return entries, metadata


def _check_kind(path: Path) -> None:
    """Raise UserError, by its first bytes, for what is often found under the name of weights and is none."""
    with path.open("rb") as file:
        first = file.read(64)
    for begin, what in OTHERS:
        if first.lstrip().lower().startswith(begin):
            raise UserError(f"{path} {what}.")


def _entry(path: Path, name: str, value: object, begin: int) -> Entry:
    """One tensor's line of a header. begin: where the tensors begin in the file."""
    damaged = UserError(f"{path} is damaged: its header describes {name} wrongly; pull or copy it again.")
    if not isinstance(value, dict):
        raise damaged
    shape, offsets, kind = value.get("shape"), value.get("data_offsets"), value.get("dtype")
    if not _naturals(shape) or not _naturals(offsets) or len(offsets) != 2 or not isinstance(kind, str):
        raise damaged
    if kind not in DTYPES:
        raise UserError(
            f"{path}: {name} is of dtype {kind:.20}{', one of the MX forms' if kind.startswith(('F4', 'F6')) else ''},"
            " which is not read here; get the weights in scaled fp8, bf16 or fp16."
        )
    entry = Entry(
        path=path,
        dtype=DTYPES[kind],
        shape=tuple(shape),
        start=begin + offsets[0],
        stop=begin + offsets[1],
    )
    if entry.stop - entry.start != entry.numel * entry.dtype.itemsize:
        raise damaged
    return entry


def _naturals(values: object) -> TypeGuard[list[int]]:
    """Whether it is a short list of whole numbers from 0, each within what 64 bits hold."""
    return (
        isinstance(values, list)
        and len(values) <= MAX_NDIM
        and all(type(value) is int and 0 <= value < 1 << 48 for value in values)
    )


def is_gguf(path: Path) -> bool:
    """By the file's first bytes."""
    with path.open("rb") as file:
        return file.read(4) == MAGIC


def weight_files(folder: Path, stem: str = "*") -> list[Path]:
    """The .safetensors files of a component's folder: those that an index names, or else the only one.

    stem: a pattern for their names, where others are beside them. Raises UserError where one is missing, and for
    several without an index, since nothing says which of them count.
    """
    if not folder.is_dir():
        raise UserError(f"{folder} does not exist; the checkpoint is incomplete.")
    indexes = sorted(folder.glob(f"{stem}.safetensors.index.json"))
    if len(indexes) > 1:
        names = few([path.name for path in indexes])
        raise UserError(f"{folder} holds several indexes of weights ({names}); leave one of them.")
    if indexes:
        return index_files(indexes[0])
    files = files_like(folder, stem, ".safetensors") or files_like(folder, stem, ".gguf")
    if len(files) > 1:
        names = few([path.name for path in files])
        raise UserError(
            f"{folder} holds several files of weights ({names}) and no .safetensors.index.json that says which count;"
            " leave one of them, or copy the index too."
        )
    if files:
        return files
    pickles = sorted(path.name for path in folder.glob(stem) if path.suffix.lower() in PICKLES)
    if pickles:
        raise UserError(
            f"{folder} holds its weights as a pickle ({pickles[0]}), which can run code when it is opened;"
            " get them as safetensors, or convert them where you trust them."
        )
    raise UserError(f"{folder} holds no .safetensors file; the checkpoint is incomplete.")


def files_like(folder: Path, stem: str, suffix: str) -> list[Path]:
    """The files of a folder whose name fits a pattern and whose suffix, in upper case or in lower, is that one."""
    found = [path for path in folder.glob(f"{stem}.*") if path.suffix.lower() == suffix]
    return sorted(path for path in found if fnmatchcase(path.stem, stem))


def weight_entries(folder: Path, stem: str = "*") -> dict[str, Entry]:
    """All tensors of a component's folder by name, without reading them. Raises UserError for one that is in two of
    its files."""
    entries: dict[str, Entry] = {}
    for path in weight_files(folder, stem):
        header = read_header(path)
        if twice := entries.keys() & header.keys():
            name = min(twice)
            raise UserError(
                f"{name} is both in {entries[name].path} and in {path.name}; copy the checkpoint again."
            )
        entries |= header
    return entries


def few(names: list[str], limit: int = 5) -> str:
    """Names for an error, and how many more there are."""
    rest = len(names) - limit
    return ", ".join(names[:limit]) + (f" and {rest} more" if rest > 0 else "")
