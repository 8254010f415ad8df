"""A shard: some hundreds of clips of one shape in one .safetensors file, with a JSON record for each.

Legend: n clips, t h w frames or latent grid, c channels, k captions, l words, d width of a word's state.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from sorairo.files import whole_file
from sorairo.types import UserError

__all__ = ["Shard", "ShardError", "read_shard", "write_shard"]

FORMAT = "sorairo-shard-1"


class ShardError(UserError):
    """A file that is not a whole shard."""


class Shard:
    """Clips and records of one file. Tensors are mapped from disk, so a row costs only what it reads.

    records: one dict per clip (captions, seed, state, ...). info: what holds for the whole shard (fps, ...).
    """

    def __init__(
        self, path: Path, tensors: dict[str, Tensor], records: list[dict[str, Any]], info: dict[str, Any]
    ):
        self.path, self.tensors, self.records, self.info = path, tensors, records, info

    def __len__(self) -> int:
        return len(self.records)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]


def write_shard(
    path: Path,
    tensors: Mapping[str, Tensor | np.ndarray],
    records: Sequence[Mapping[str, Any]],
    info: Mapping[str, Any] | None = None,
) -> None:
    """Write one shard, whole or not at all.

    tensors: each has n clips first. Usual names: `frames` uint8 (n t h w 3), `latents` bf16 (n c t h w), `text` bf16
    (n k l d) with `text_lengths` (n k). records: n dicts of JSON values (numpy arrays and scalars are turned
    into lists). Raises UserError when the disk is full or the place cannot be written.
    """
    arrays = {name: torch.as_tensor(value).contiguous() for name, value in tensors.items()}
    for name, value in arrays.items():
        assert len(value) == len(records), f"{name} holds {len(value)} clips, the records {len(records)}"
    metadata = {
        "format": FORMAT,
        "records": json.dumps([dict(record) for record in records], default=_plain),
        "info": json.dumps(dict(info or {}), default=_plain),
    }
    with whole_file(Path(path)) as temporary:
        save_file(arrays, temporary, metadata=metadata)
        _in_order(temporary)


def _in_order(path: Path) -> None:
    """Sort the metadata in a file's header: safetensors writes them in another order every time, and equal shards are
    to be equal files."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        if len(text) <= size:  # padded with spaces, as the format has it
            file.seek(8)
            file.write(text.ljust(size))


def read_shard(path: Path) -> Shard:
    """Open a shard. Raises ShardError when the file is cut short, is something else or holds no clips."""
    path = Path(path)
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ShardError(f"{path} is not a shard of clips; move it out of the data folder.")
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        records, info = json.loads(metadata["records"]), json.loads(metadata.get("info", "{}"))
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise ShardError(f"{path} is damaged: delete it and run the command that made it again.") from error
    if not records or any(len(tensor) != len(records) for tensor in tensors.values()):
        raise ShardError(f"{path} is damaged: delete it and run the command that made it again.")
    return Shard(path, tensors, records, info)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"{type(value).__name__} is not a JSON value")
