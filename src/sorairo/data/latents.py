"""World clips -> shards of latents and words' states, ready to train on: rendered in processes, encoded here.

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

from sorairo.data.maps import state_map
from sorairo.data.shards import ShardError, read_shard, write_shard
from sorairo.files import write_text
from sorairo.types import UserError
from sorairo.worlds import WorldClip, get_world, render_clips
from sorairo.worlds.captions import Captions

__all__ = [
    "KINDS",
    "Bucket",
    "LatentPlan",
    "Made",
    "caption_lines",
    "encoded_words",
    "make_latents",
    "render_with_world",
    "shard_name",
    "vocabulary",
]

log = logging.getLogger(__name__)
T = TypeVar("T")

KINDS = (
    "long",
    "short",
    "paraphrase",
    "paraphrase2",
)  # one tensor text_<kind> and a column of text_lengths each

OLD = {"maps": False}  # what plans were that do not say

Render = Callable[[Iterable[int], "Bucket"], Iterator[WorldClip]]
Encode = Callable[[np.ndarray], Tensor]  # uint8 (n t h w 3) -> normalised latents (n c t h w)
Words = Callable[[list[str]], tuple[Tensor, Tensor]]  # n sentences -> states (n l d), lengths (n)


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """Clips of one shape.

    size: (width, height). share: of all shards. circle: of the world's circles. leaves: what rolls goes on out of the
    picture.
    """

    size: tuple[int, int]
    frames: int
    share: float
    circle: int = 0
    leaves: bool = False


@dataclass(frozen=True, kw_only=True)
class LatentPlan:
    """What is rendered. Shard i holds the seeds from first_seed + i * clips on; any first shards have the mix.

    run: shards of one bucket made in a row (starting the renderers costs seconds). maps: whether `map` is stored
    beside the latents, what is where (data/maps.py).
    """

    world: str = "studio"
    split: str = "train"
    fps: float = 8.0
    first_seed: int = 0
    shards: int
    clips: int = 64
    run: int = 4
    maps: bool = False
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
    """What a call did: shards written, shards that were there, clips left out because they were not finite."""

    written: int
    kept: int
    left_out: int


def shard_name(index: int) -> str:
    """The file of a shard."""
    return f"latents-{index:05d}.safetensors"


def render_with_world(plan: LatentPlan, workers: int) -> Render:
    """A renderer of the plan's world on that many processes."""
    world = get_world(plan.world)

    def render(seeds: Iterable[int], bucket: Bucket) -> Iterator[WorldClip]:
        facts: dict[str, Any] = {"size": bucket.size, "frames": bucket.frames, "circle": bucket.circle}
        facts["masks"] = plan.maps
        if bucket.leaves:
            facts["leaves"] = True
        return render_clips(world, seeds, workers=workers, fps=plan.fps, split=plan.split, **facts)

    return render


def make_latents(
    plan: LatentPlan, folder: Path, *, render: Render, encode: Encode, words: Words, batch: int = 8
) -> Made:
    """Write every shard of the plan that the folder lacks. The same call again goes on where it ended.

    Raises UserError when the folder was made by another plan (more shards of the same are fine) or is full.
    """
    _check_plan(plan, folder)
    buckets = plan.bucket_of()
    todo = [index for index in range(plan.shards) if not _whole(folder / shard_name(index))]
    left_out, began = 0, time.monotonic()
    clips = ahead(_clips(plan, todo, buckets, render), 2 * plan.clips)
    for done, index in enumerate(todo):
        shard = list(itertools.islice(clips, plan.clips))
        tensors, records = _encoded(shard, encode, words, batch)
        left_out += len(shard) - len(records)
        if records:
            info = {"fps": plan.fps, "size": buckets[index].size, "frames": buckets[index].frames}
            write_shard(folder / shard_name(index), tensors, records, info)
        rate = (done + 1) * plan.clips / (time.monotonic() - began)
        log.info("latents: shard %d of %d, %.1f clips/s", index + 1, plan.shards, rate)
    if left_out:
        log.warning("latents: %d clips were not finite and are left out", left_out)
    return Made(written=len(todo), kept=plan.shards - len(todo), left_out=left_out)


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


def _clips(plan: LatentPlan, todo: list[int], buckets: list[Bucket], render: Render) -> Iterator[WorldClip]:
    """The clips of the shards to do, in order, each run of one bucket in one call of the renderer."""
    for bucket, run in itertools.groupby(todo, key=lambda index: buckets[index]):
        yield from render((seed for index in run for seed in plan.seeds(index)), bucket)


def _encoded(
    clips: list[WorldClip], encode: Encode, words: Words, batch: int
) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    frames = np.stack([clip.video.frames for clip in clips])  # n t h w 3
    latents = torch.cat([encode(frames[i : i + batch]) for i in range(0, len(frames), batch)])  # n c t h w
    good = latents.flatten(1).isfinite().all(dim=1)
    tensors = {"latents": latents[good].bfloat16()}
    if clips[0].masks is not None:
        t, h, w = latents.shape[2:]
        tensors["map"] = torch.stack([state_map(clip, (t, h, w)) for clip in clips])[good]  # n k t h w
    lines = [caption_lines(clip.captions, clip.seed) for clip in clips]
    tensors |= {name: tensor[good] for name, tensor in encoded_words(lines, words).items()}
    records = [
        {"seed": clip.seed, "captions": dict(zip(KINDS, line, strict=True))}
        for clip, line, keep in zip(clips, lines, good.tolist(), strict=True)
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


def caption_lines(captions: Captions, seed: int) -> tuple[str, str, str, str]:
    """The captions that are stored, in the order of KINDS; two of the paraphrases, drawn by the clip's seed."""
    others = list(captions.paraphrases) or [captions.short]
    first = int(np.random.default_rng(seed).integers(len(others)))
    return captions.long, captions.short, others[first], others[(first + 1) % len(others)]


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
