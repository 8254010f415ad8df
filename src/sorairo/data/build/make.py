"""One shard, from its clips' files to its own: read, encode, write. It runs in any process, on any machine.

Legend: n clips, c channels, t h w frames or latent grid, l words, d width of a word's state.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sorairo.data.build.clips import Clip, read_clips
from sorairo.data.latents import Encode, ahead, encoded_words
from sorairo.data.latents import Words as EncodeWords
from sorairo.data.shards import Shard, ShardError, read_shard, write_shard
from sorairo.data.sources.base import KINDS
from sorairo.files import file_hash
from sorairo.types import UserError

__all__ = ["Encoders", "Made", "Order", "Wanted", "make_shard"]


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """A model's codec and text encoder as functions. latents: uint8 (n t h w 3) -> (n c t h w). words: sentences ->
    (n l d), lengths. check: raises UserError for a sentence that is too long. bytes: of a clip of (frames, size)."""

    latents: Encode
    words: EncodeWords
    check: Callable[[str], object]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A clip of a shard. captions: by kind. clip None: its file is gone, and its latents are kept."""

    id: str
    captions: dict[str, str]
    record: dict[str, Any]
    clip: Clip | None


@dataclass(frozen=True, kw_only=True)
class Order:
    """A shard that is to be made. path: its file. folder: of the clips. expected: the hash of an earlier file."""

    path: Path
    folder: Path
    clips: tuple[Wanted, ...]
    expected: str = ""


@dataclass(frozen=True, kw_only=True)
class Made:
    """sha256: of the file; empty where no clip was left. lost: id of a clip -> why it is not in it."""

    name: str
    sha256: str
    clips: int
    lost: dict[str, str]


def make_shard(order: Order, encoders: Encoders) -> Made:
    """Write a shard whole. What an earlier file of it holds of the same clips is taken from there.

    Each clip and each sentence is encoded on its own, so that its numbers do not depend on its neighbours.
    """
    earlier, rows = _earlier(order)
    lost: dict[str, str] = {}
    latents: dict[str, Tensor] = {
        want.id: earlier["latents"][rows[want.id]] for want in order.clips if earlier and want.id in rows
    }
    new = [want.clip for want in order.clips if want.clip and want.id not in latents]
    for clip, frames in ahead(_frames(order.folder, new, lost), 8):
        made = encoders.latents(frames[None])[0]
        if made.isfinite().all():
            latents[clip.id] = made.bfloat16()
        else:
            lost[clip.id] = "its latents are not finite"
    kept = [want for want in order.clips if want.id in latents]
    if not kept:
        order.path.unlink(missing_ok=True)
        return Made(name=order.path.name, sha256="", clips=0, lost=lost)
    lines = [tuple(want.captions[kind] for kind in KINDS) for want in kept]
    tensors = {"latents": torch.stack([latents[want.id] for want in kept])}
    tensors |= encoded_words(lines, one_by_one(encoders.words))
    records = [{"clip": want.id, **want.record, "captions": want.captions} for want in kept]
    grid = tensors["latents"].shape[2:]
    first = kept[0].record
    info = {"fps": first["fps"], "size": first["size"], "frames": first["frames"], "grid": list(grid)}
    write_shard(order.path, tensors, records, info)
    return Made(name=order.path.name, sha256=file_hash(order.path), clips=len(kept), lost=lost)


def one_by_one(words: EncodeWords) -> EncodeWords:
    """The same encoder, asked for one sentence at a time."""

    def encode(sentences: list[str]) -> tuple[Tensor, Tensor]:
        made = [words([sentence]) for sentence in sentences]
        lengths = torch.cat([length for _, length in made])
        states = torch.zeros(len(made), int(lengths.max()), made[0][0].shape[-1])
        for row, (state, length) in enumerate(made):
            states[row, : int(length)] = state[0, : int(length)]
        return states, lengths

    return encode


def _earlier(order: Order) -> tuple[Shard | None, dict[str, int]]:
    """The shard that is there, and which row is of which clip; nothing where it is damaged or of another hand."""
    try:
        if not order.path.exists() or file_hash(order.path) != order.expected:
            return None, {}
        shard = read_shard(order.path)
    except (ShardError, OSError):
        return None, {}
    return shard, {record["clip"]: row for row, record in enumerate(shard.records)}


def _frames(folder: Path, clips: list[Clip], lost: dict[str, str]) -> Iterator[tuple[Clip, np.ndarray]]:
    """The frames of clips, a pass over each file. Those of a file that fails are lost, with the reason."""
    for name in dict.fromkeys(clip.file for clip in clips):
        here = [clip for clip in clips if clip.file == name]
        path, done = folder / name, 0
        try:
            if file_hash(path) != here[0].sha256:
                raise UserError("it changed after it was looked at: run the same command again")
            for clip, frames in zip(here, read_clips(path, here), strict=True):
                done += 1
                yield clip, frames
        except (UserError, OSError) as error:
            reason = str(error).replace(f"{path} ", "it ").rstrip(".")
            lost.update({clip.id: reason for clip in here[done:]})


def frames_hash(frames: np.ndarray) -> str:
    """A short hash of pictures."""
    return hashlib.sha256(np.ascontiguousarray(frames).tobytes()).hexdigest()[:20]
