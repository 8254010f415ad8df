"""data.json: what a folder of shards was made for, and the hash of each shard."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sorairo.config import from_dict
from sorairo.files import write_text
from sorairo.types import UserError

__all__ = [
    "Encoding",
    "Manifest",
    "ShardEntry",
    "fingerprint",
    "read_manifest",
    "shard_hashes",
    "write_manifest",
]

NAME, FORMAT = "data.json", "sorairo-data-1"


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What latents and words' states are of. codec, text: fingerprints of the weights that made them.

    time_factor, space_factor: frames and pixels per latent position. channels: of a latent. text_width: of a state.
    """

    model: str
    codec: str
    text: str
    time_factor: int
    space_factor: int
    channels: int
    text_width: int
    fps: float


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """A file of clips of one shape. sha256: of its bytes, in hex."""

    name: str
    sha256: str
    clips: int
    size: tuple[int, int]
    frames: int


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A folder of shards. complete: False while it is being made. words: the lower-case words of its captions."""

    encoding: Encoding
    shards: tuple[ShardEntry, ...]
    clips: int
    complete: bool
    vocabulary: tuple[str, ...] = ()
    format: str = FORMAT

    def check(self, encoding: Encoding, where: Path) -> None:
        """Refuse to train a model on what another one's codec or text encoder made. Raises UserError."""
        ours, wanted = asdict(self.encoding), asdict(encoding)
        for key, name in SAID.items():
            if ours[key] != wanted[key]:
                values = f" ({ours[key]}, not {wanted[key]})" if key not in ("codec", "text") else ""
                raise UserError(
                    f"{where} was made for {self.encoding.model} with another {name}{values} than "
                    f"{encoding.model} has: build it again for this model, in another folder."
                )


SAID = {
    "time_factor": "time factor",
    "space_factor": "space factor",
    "channels": "number of latent channels",
    "codec": "codec",
    "text_width": "width of words' states",
    "text": "text encoder",
    "fps": "frame rate",
}


def fingerprint(weights: nn.Module, config: object = None) -> str:
    """A short hash of a module's weights, as bfloat16, and of its configuration: the same in whatever dtype they were
    loaded."""
    digest = hashlib.sha256(repr(config).encode())
    for name, tensor in sorted(weights.state_dict().items()):
        digest.update(name.encode())
        digest.update(
            tensor.detach().to("cpu", torch.bfloat16).contiguous().view(torch.int16).numpy().tobytes()
        )
    return digest.hexdigest()[:16]


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder. Raises UserError where it is missing or no manifest."""
    path = folder / NAME
    if not folder.is_dir():
        raise UserError(
            f"The folder {folder} does not exist; make it with sorairo data build CLIPS {folder}."
        )
    if not path.is_file():
        raise UserError(f"{folder} was not made by sorairo data build: it has no {NAME}.")
    try:
        values: Any = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"{path} is damaged: run sorairo data build again, which writes it again.") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise UserError(f"{path} is of another version: it is not {FORMAT}.")
    return from_dict(Manifest, values)


def shard_hashes(folder: Path) -> dict[str, str]:
    """Name -> SHA-256 of the shards of a folder that has a manifest; empty for one that has none.

    Raises UserError for a damaged manifest.
    """
    if not (folder / NAME).is_file():
        return {}
    return {one.name: one.sha256 for one in read_manifest(folder).shards}


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write data.json, whole or not at all."""
    write_text(folder / NAME, json.dumps(asdict(manifest), indent=1) + "\n")
