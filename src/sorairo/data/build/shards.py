"""Which clips go into which shard. An assignment is said once and stays, so that later runs add and never shuffle."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from sorairo.data.build.choose import Verdict
from sorairo.data.build.clips import Clip
from sorairo.data.build.ledger import Ledger
from sorairo.data.build.make import Order, Wanted
from sorairo.data.captions.base import Words
from sorairo.data.manifest import Encoding
from sorairo.data.shards import ShardError, read_shard
from sorairo.files import file_hash, said_size
from sorairo.types import UserError

__all__ = ["Planned", "check_disk", "orders", "plan_shards"]


@dataclass(frozen=True, kw_only=True)
class Planned:
    """shards: name -> the clips that it is to hold. damaged: files that are not what was written. whole: those that are
    as they are wanted."""

    shards: Mapping[str, tuple[Wanted, ...]]
    damaged: tuple[str, ...]
    whole: frozenset[str]


def plan_shards(
    verdicts: Sequence[Verdict],
    words: Mapping[str, Words],
    ledger: Ledger,
    out: Path,
    per_shard: int,
    contents: set[str],
) -> Planned:
    """Assign every kept clip that has no shard yet to new ones, of one size and length each, and note it.

    A clip whose content is no longer in the folder stays where it is; one that is dropped now leaves its shard.
    contents: the hashes of all files of the folder.
    """
    kept = {clip.id: clip for one in verdicts for clip in one.clips}
    wanted = {id: _wanted(clip, words[id]) for id, clip in kept.items()}
    assigned = {id for clips in ledger.shards.values() for id, _ in clips}
    new = sorted(
        (clip for clip in kept.values() if clip.id not in assigned),
        key=lambda clip: (clip.size, clip.frames, clip.file, clip.start, clip.first),
    )
    for _, group in groupby(new, key=lambda clip: (clip.size, clip.frames)):
        some = list(group)
        for start in range(0, len(some), per_shard):
            part = some[start : start + per_shard]
            ledger.note_shard(
                f"clips-{len(ledger.shards):05d}.safetensors", [(clip.id, clip.file) for clip in part]
            )
    shards, damaged, whole = {}, [], set[str]()
    here = {sha256[:20] for sha256 in contents}
    for name, clips in ledger.shards.items():
        expected, path = ledger.hashes.get(name), out / name
        records: dict[str, dict[str, Any]] = {}
        if expected:
            try:
                if file_hash(path) != expected:
                    raise ShardError(name)
                records = {record["clip"]: record for record in read_shard(path).records}
            except (ShardError, OSError):
                damaged.append(name)
        gone = {
            id: Wanted(id=id, captions=record["captions"], record=_facts(record), clip=None)
            for id, record in records.items()
            if id.split("-")[0] not in here
        }
        shards[name] = tuple(
            found for id, _ in clips if (found := wanted.get(id) or gone.get(id)) is not None
        )
        same = [(one.id, one.captions) for one in shards[name]] == [
            (id, record["captions"]) for id, record in records.items()
        ]
        if same and expected is not None and name not in damaged:
            whole.add(name)
    return Planned(shards=shards, damaged=tuple(damaged), whole=frozenset(whole))


def orders(planned: Planned, folder: Path, out: Path, ledger: Ledger) -> list[Order]:
    """The shards that are to be made, or made again."""
    return [
        Order(path=out / name, folder=folder, clips=clips, expected=ledger.hashes.get(name, ""))
        for name, clips in planned.shards.items()
        if name not in planned.whole and (clips or (out / name).exists())
    ]


def check_disk(out: Path, todo: Sequence[Order], encoding: Encoding) -> None:
    """Refuse what the disk has no room for, before the first shard. Raises UserError."""
    need = 0
    for want in (want for order in todo for want in order.clips):
        width, height = want.record["size"]
        grid = (width // encoding.space_factor) * (height // encoding.space_factor)
        times = 1 + (want.record["frames"] - 1) // encoding.time_factor
        tokens = max(len(line.split()) for line in want.captions.values()) * 2 + 2
        need += 2 * (encoding.channels * times * grid + 4 * tokens * encoding.text_width)
    free = shutil.disk_usage(out).free
    if need * 1.1 + 2**24 > free:
        raise UserError(
            f"{out} needs about {said_size(need * 1.1 + 2**24)} for its shards, and its disk has {said_size(free)} "
            "free: free some, or choose a folder on another disk."
        )


def _wanted(clip: Clip, words: Words) -> Wanted:
    record = {
        "file": clip.file,
        "sha256": clip.sha256,
        "shot": clip.shot,
        "start": clip.start,
        "stop": clip.stop,
        "end": clip.end,
        "box": list(clip.box),
        "first": clip.first,
        "frames": clip.frames,
        "size": list(clip.size),
        "fps": clip.fps,
        "by": "captioner" if words.synthetic else "file",
    }
    return Wanted(id=clip.id, captions=words.by_kind(), record=record, clip=clip)


def _facts(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in ("clip", "captions")}
