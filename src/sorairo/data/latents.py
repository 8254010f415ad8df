"""Clips of a source -> shards of latents and words' states, ready to train on.

Legend: n clips, t h w frames or latent grid, c channels, l words, d width of a word's state.
"""

from __future__ import annotations

import itertools
import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from sorairo.data.shards import ShardError, read_shard, write_shard
from sorairo.data.sources.base import KINDS, Bucket, Source, SourceClip
from sorairo.files import write_text
from sorairo.types import UserError

__all__ = [
    "KINDS",
    "Bucket",
    "LatentPlan",
    "Made",
    "encoded_words",
    "make_latents",
    "shard_name",
    "vocabulary",
]

log = logging.getLogger(__name__)
T = TypeVar("T")

OLD = {"maps": False, "scenes": False}  # defaults for plans written before these keys existed

Encode = Callable[[np.ndarray], Tensor]  # uint8 (n t h w 3) -> normalised latents (n c t h w)
Words = Callable[[list[str]], tuple[Tensor, Tensor]]  # n sentences -> states (n l d), lengths (n)


@dataclass(frozen=True, kw_only=True)
class LatentPlan:
    """What is rendered. Shard i holds the seeds from first_seed + i * clips on; any first shards have the mix.

    run: shards of one bucket made in a row (starting the renderers costs seconds). maps: whether `map` is stored
    beside the latents, what is where (data/maps.py). scenes: whether `scene` is, the tracks of its objects
    (scenes/tracks.py).
    """

    world: str = "studio"
    split: str = "train"
    fps: float = 8.0
    first_seed: int = 0
    shards: int
    clips: int = 64
    run: int = 4
    maps: bool = False
    scenes: bool = False
    buckets: tuple[Bucket, ...]

    def bucket_of(self) -> list[Bucket]:
        """The bucket of every shard: each run goes to the bucket that lags most behind its share."""
        total = sum(bucket.share for bucket in self.buckets)
        given = [0.0] * len(self.buckets)
        order: list[Bucket] = []
        while len(order) < self.shards:
            lag = [
                (len(order) + self.run) * b.share / total - g
                for b, g in zip(self.buckets, given, strict=True)
            ]
            index = lag.index(max(lag))
            given[index] += self.run
            order += [self.buckets[index]] * self.run
        return order[: self.shards]

    def seeds(self, shard: int) -> range:
        """The clips of a shard."""
        return range(self.first_seed + shard * self.clips, self.first_seed + (shard + 1) * self.clips)


@dataclass(frozen=True, kw_only=True)
class Made:
    """What a call did: shards written, shards that were there, clips left out as not finite or not to be read."""

    written: int
    kept: int
    left_out: int


def shard_name(index: int) -> str:
    """The file of a shard."""
    return f"latents-{index:05d}.safetensors"


def make_latents(
    plan: LatentPlan, folder: Path, *, source: Source, encode: Encode, words: Words, batch: int = 8
) -> Made:
    """Write every shard of the plan that the folder lacks. The same call again goes on where it ended.

    Raises UserError when the folder was made by another plan (more shards of the same are fine) or is full.
    """
    _check_plan(plan, folder)
    buckets = plan.bucket_of()
    todo = [index for index in range(plan.shards) if not _whole(folder / shard_name(index))]
    written, left_out, began = 0, 0, time.monotonic()
    clips = ahead(_clips(plan, todo, buckets, source), 2 * plan.clips)
    for done, index in enumerate(todo):
        shard = list(itertools.islice(clips, plan.clips))
        tensors, records = _encoded([clip for clip in shard if clip], encode, words, batch, plan.scenes)
        left_out += len(shard) - len(records)
        if records:
            written += 1
            info = {"fps": plan.fps, "size": buckets[index].size, "frames": buckets[index].frames}
            write_shard(folder / shard_name(index), tensors, records, info)
        rate = (done + 1) * plan.clips / (time.monotonic() - began)
        log.info("latents: shard %d of %d, %.1f clips/s", index + 1, plan.shards, rate)
    if left_out:
        log.warning("latents: %d clips are left out: not finite, or not to be read", left_out)
    return Made(written=written, kept=plan.shards - len(todo), left_out=left_out)


def _check_plan(plan: LatentPlan, folder: Path) -> None:
    path, now = folder / "plan.json", json.loads(json.dumps(asdict(plan)))
    if path.exists():
        before = json.loads(path.read_text())
        before["buckets"] = [{"leaves": False} | bucket for bucket in before.get("buckets", [])]
        for key in now:
            if key != "shards" and before.get(key, OLD.get(key)) != now[key]:
                raise UserError(
                    f"{folder} was made with {key} = {before.get(key)}, now it is {now[key]}: choose another folder."
                )
    write_text(path, json.dumps(now, indent=2) + "\n")


def _whole(path: Path) -> bool:
    if not path.exists():
        return False
    try:
        read_shard(path)
    except ShardError as error:
        log.warning("%s; making it again", error)
        return False
    return True


def _clips(
    plan: LatentPlan, todo: list[int], buckets: list[Bucket], source: Source
) -> Iterator[SourceClip | None]:
    """The clips of the shards to do, in order, each run of one bucket in one call of the source."""
    for bucket, run in itertools.groupby(todo, key=lambda index: buckets[index]):
        yield from source.clips((number for index in run for number in plan.seeds(index)), bucket)


def _encoded(
    clips: list[SourceClip], encode: Encode, words: Words, batch: int, scenes: bool
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    if not clips:
        return {}, []
    frames = np.stack([clip.video.frames for clip in clips])  # n t h w 3
    latents = torch.cat([encode(frames[i : i + batch]) for i in range(0, len(frames), batch)])  # n c t h w
    good = latents.flatten(1).isfinite().all(dim=1)
    tensors = {"latents": latents[good].bfloat16()}
    maps = [clip.maps for clip in clips if clip.maps]
    if len(maps) == len(clips):
        t, h, w = latents.shape[2:]
        tensors["map"] = torch.stack([known((t, h, w)) for known in maps])[good]  # n k t h w
    drawn = [clip.scene for clip in clips if clip.scene]
    if scenes and len(drawn) == len(clips):
        t = latents.shape[2]
        tensors["scene"] = torch.cat([known(t).encode() for known in drawn])[good]  # n c t 1 k
    lines = [clip.captions for clip in clips]
    tensors |= {name: tensor[good] for name, tensor in encoded_words(lines, words).items()}
    records = [
        {**clip.record, "captions": dict(zip(KINDS, clip.captions, strict=True))}
        for clip, keep in zip(clips, good.tolist(), strict=True)
        if keep
    ]
    return tensors, records


def encoded_words(lines: Sequence[tuple[str, ...]], words: Words) -> dict[str, Tensor]:
    """The tensors of captions in the order of KINDS: text_<kind> bf16 (n l d), and text_lengths (n kinds)."""
    tensors, lengths = {}, []
    for column, kind in enumerate(KINDS):
        states, length = words([line[column] for line in lines])
        tensors[f"text_{kind}"] = states[:, : int(length.max())].bfloat16()  # n l d
        lengths.append(length)
    return tensors | {"text_lengths": torch.stack(lengths, dim=1).to(torch.int32)}


def ahead(items: Iterable[T], size: int) -> Iterator[T]:
    """The same items, drawn in a thread up to `size` ahead; an error inside is raised here."""
    end, line = object(), queue.Queue[Any](maxsize=size)
    stop = threading.Event()

    def put(item: Any) -> None:
        while not stop.is_set():
            try:
                return line.put(item, timeout=0.5)
            except queue.Full:
                continue

    def draw() -> None:
        try:
            for item in items:
                put((item, None))
                if stop.is_set():
                    return
            put((end, None))
        except BaseException as error:  # handed to the thread that asks
            put((end, error))

    threading.Thread(target=draw, name="clips", daemon=True).start()
    try:
        while True:
            item, error = line.get()
            if error is not None:
                raise error
            if item is end:
                return
            yield item
    finally:
        stop.set()


def vocabulary(folder: Path) -> tuple[str, ...]:
    """The lower-case words of all captions in a folder of shards, sorted."""
    words: set[str] = set()
    for path in sorted(folder.glob("*.safetensors")):
        try:
            shard = read_shard(path)
        except ShardError:
            continue
        for record in shard.records:
            for caption in record.get("captions", {}).values():
                words.update(re.findall(r"[a-z0-9']+", caption.lower()))
    return tuple(sorted(words))
