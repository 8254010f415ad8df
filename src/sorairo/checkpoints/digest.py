"""The hash of a model: of all weights that it is loaded from, computed once per file and remembered."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from sorairo.files import whole_file
from sorairo.safety.identity import provenance_folder
from sorairo.types import UserError

__all__ = ["weights_digest"]

WEIGHTS = (".safetensors", ".gguf")


def weights_digest(model: Path, loras: Sequence[Path] = ()) -> str:
    """SHA-256 in hex over the names and hashes of a model's weights (a folder or one file), then of its LoRAs.

    Hashes are remembered by a file's place, size and time of change: only the first run reads the weights.
    """
    known = remembered()
    before = dict(known)
    files = sorted(_weights(model)) if model.is_dir() else [model]
    lines = [
        f"{path.relative_to(model) if model.is_dir() else path.name} {hashed(path, known)}" for path in files
    ]
    lines += [f"lora {hashed(path, known)}" for path in loras]
    if known != before:
        with suppress(OSError, UserError), whole_file(memory()) as temporary:  # remembering is a convenience
            temporary.write_text(json.dumps(known))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _weights(folder: Path) -> Iterator[Path]:
    """Also those of parts that are links to another model's folder, which Path.rglob passes over."""
    for place, _, names in os.walk(folder, followlinks=True):
        yield from (Path(place, name) for name in names if Path(name).suffix in WEIGHTS)


def hashed(path: Path, known: dict[str, str]) -> str:
    """The hash of one file. Raises UserError."""
    try:
        stat = path.stat()
        key = f"{os.path.realpath(path)} {stat.st_size} {stat.st_mtime_ns}"
        if key not in known:
            with path.open("rb") as file:
                known[key] = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({(error.strerror or '').lower()}).") from error
    return known[key]


def remembered() -> dict[str, str]:
    try:
        values = json.loads(memory().read_text())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) and all(isinstance(one, str) for one in values.values()) else {}


def memory() -> Path:
    """Where hashes are kept."""
    return provenance_folder() / "weights.json"
