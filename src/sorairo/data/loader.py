"""Batches out of shards of latents: batch(step) depends on the seed and the step alone, so a resumed run is exact.

Legend: b clips, c channels, t h w latent grid, l words, d width of a word's state.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sorairo.data.latents import KINDS
from sorairo.data.manifest import shard_hashes
from sorairo.data.packs import MixedBatch, Pick, pack_steps
from sorairo.data.shards import Shard, ShardError, read_shard
from sorairo.files import file_hash, write_once
from sorairo.types import UserError

__all__ = ["Batch", "Loader", "LoaderConfig"]

log = logging.getLogger(__name__)
Shape = tuple[int, int, int]  # t h w of latents
WORDS = 40  # of a usual caption, rounded up
Rows = Callable[[int], slice]  # how many clips a batch has -> which of them are wanted


@dataclass(frozen=True, kw_only=True)
class Batch:
    """latents: (b c t h w). text: (b l d), zeros behind the words. lengths: (b). map: uint8 (n k t h w), or None.
    scene: (n c' t 1 k), the encoded tracks of each clip's objects (scenes/tracks.py), or None.

    b: the clips that were asked for, of the n clips (`total`) of the step. Maps and scenes are of all n, since they
    decide how much each clip counts.
    """

    latents: Tensor
    text: Tensor
    lengths: Tensor
    total: int
    map: Tensor | None = None
    scene: Tensor | None = None


@dataclass(frozen=True, kw_only=True)
class LoaderConfig:
    """How batches are put together.

    tokens: what a step costs, in video tokens; a word costs word_cost of one. patch: latent positions per token and
    side. stills: the share of clips with only the first frame (the codec is causal, so it is the
    latent of the still). captions: the shares of data.latents.KINDS. drop: the share of clips without words.
    refresh: steps between looks for new shards. round_words: l is a multiple of it, so that few shapes occur. maps:
    whether batches hold the state maps (data/maps.py) of their clips. scenes: whether they hold their scenes
    (scenes/tracks.py). packed: a step has clips of all shapes, one behind another (`Loader.mixed`), where otherwise it
    has one shape.
    """

    seed: int = 0
    tokens: int = 2880
    word_cost: float = 0.2
    patch: int = 2
    stills: float = 0.1
    captions: tuple[float, ...] = (0.6, 0.25, 0.1, 0.05)
    drop: float = 0.1
    refresh: int = 250
    round_words: int = 16
    maps: bool = False
    scenes: bool = False
    packed: bool = False


class Loader:
    """Batches of one shape each; every clip has the same chance, whatever its shape.

    folder: where the shards are, more may join while it runs. lists: where it records which of them each stretch of
    `refresh` steps drew from. empty: (l d), the states of the empty sentence, for clips without words. held: (shard's
    name, row) of clips that no batch has, kept for validation.
    """

    def __init__(
        self,
        folder: Path,
        lists: Path,
        config: LoaderConfig,
        empty: Tensor,
        held: Collection[tuple[str, int]] = (),
    ):
        self.folder, self.lists, self.config, self.empty = folder, lists, config, empty
        self.held = frozenset(held)
        self.skipped: set[str] = set()
        self._shards: dict[str, Shard] = {}
        self._stretch: tuple[int, dict[Shape, list[Shard]]] = (-1, {})
        self._packs: tuple[int, list[list[Pick]], list[tuple[Shard, int]]] = (-1, [], [])
        self._lock = threading.Lock()
        self._hashes: dict[str, str] = {}

    def whole(self) -> list[Shard]:
        """The shards that are there and as they were written, by name; each other one is named in the log, once."""
        with self._lock:
            self._hashes = shard_hashes(self.folder)
            there = {path.name for path in self.folder.glob("*.safetensors")}
            found = [self._open(name) for name in sorted(there | self._hashes.keys())]
        return [shard for shard in found if shard]

    def batch(self, step: int, share: Rows = slice) -> Batch:
        """The batch of a step, or the rows that `share` takes of it: only those are read.

        Raises UserError when the folder holds no shard.
        """
        config, rng = self.config, np.random.default_rng((self.config.seed, step, 7))
        buckets = self._buckets(step // config.refresh)
        shape, still = self._draw_shape(buckets, rng)
        shards = buckets[shape]
        size = self.batch_size((1, *shape[1:]) if still else shape)
        ends = np.cumsum([len(shard) for shard in shards])
        there = self._free(shards) if self.held else int(ends[-1])
        count = there if isinstance(there, int) else len(there)
        picks = rng.choice(there, size=min(size, count), replace=False)
        rows = [
            (shards[i], int(pick - (ends[i - 1] if i else 0))) for pick in picks for i in [_place(ends, pick)]
        ]
        end = 1 if still else shape[0]
        wanted = share(len(rows))
        latents = torch.stack([shard["latents"][row, :, :end] for shard, row in rows[wanted]])  # b c t h w
        maps = torch.stack([shard["map"][row, :, :end] for shard, row in rows]) if config.maps else None
        scenes = torch.stack([shard["scene"][row, :, :end] for shard, row in rows]) if config.scenes else None
        text, lengths = self._words(rows, rng, wanted)
        return Batch(latents=latents, text=text, lengths=lengths, total=len(rows), map=maps, scene=scenes)

    def mixed(self, step: int, share: Rows = slice) -> MixedBatch:
        """The same for clips of mixed shapes, as many as cost about `tokens` together.

        Raises UserError when the folder holds no shard.
        """
        config, rng = self.config, np.random.default_rng((self.config.seed, step, 7))
        picks, clips = self._packed(step)
        rows = [clips[pick.clip] for pick in picks]
        wanted = share(len(rows))
        text, lengths = self._words(rows, rng, wanted)
        places = range(len(rows))[wanted]

        def values(name: str, place: int) -> Tensor:
            (shard, row), pick = rows[place], picks[place]
            return shard[name][row, :, : pick.frames]

        shapes = tuple(
            (pick.frames, *_shape(shard)[1:]) for pick, (shard, _) in zip(picks, rows, strict=True)
        )
        order = sorted(range(len(places)), key=lambda index: (shapes[places[index]], index))
        maps = tuple(values("map", place) for place in range(len(rows))) if config.maps else None
        return MixedBatch(
            latents=tuple(values("latents", places[index]) for index in order),
            places=tuple(places[index] for index in order),
            shapes=shapes,
            text=text[order],
            lengths=lengths[order],
            maps=maps,
        )

    def _packed(self, step: int) -> tuple[list[Pick], list[tuple[Shard, int]]]:
        """The picks of a step, and all clips that they are numbers of."""
        config, (stretch, at) = self.config, divmod(step, self.config.refresh)
        buckets = self._buckets(stretch)
        with self._lock:
            if self._packs[0] != stretch:
                clips = [
                    (shard, row)
                    for shape in sorted(buckets)
                    for shard in buckets[shape]
                    for row in range(len(shard))
                    if (shard.path.name, row) not in self.held
                ]
                steps = pack_steps(
                    [_shape(shard) for shard, _ in clips],
                    steps=config.refresh,
                    budget=config.tokens,
                    per_clip=config.word_cost * WORDS,
                    per_position=1 / config.patch**2,
                    stills=config.stills,
                    rng=np.random.default_rng((config.seed, stretch, 11)),
                )
                self._packs = stretch, steps, clips
            return self._packs[1][at], self._packs[2]

    def _free(self, shards: list[Shard]) -> np.ndarray:
        """The places of the clips that are not held out, counted through all of the shards."""
        places = [(shard.path.name, row) not in self.held for shard in shards for row in range(len(shard))]
        return np.flatnonzero(places)

    def batch_size(self, shape: Shape) -> int:
        t, h, w = shape
        cost = t * h * w / self.config.patch**2 + self.config.word_cost * WORDS
        return max(4, 4 * round(self.config.tokens / cost / 4))

    def _draw_shape(self, buckets: dict[Shape, list[Shard]], rng: np.random.Generator) -> tuple[Shape, bool]:
        """A shape, and whether only the first frame is taken. Fewer, larger batches where clips are small."""
        choices = [
            (shape, still)
            for shape in sorted(buckets)
            for still in (False, True)
            if shape[0] > 1 or not still
        ]
        weights = []
        for shape, still in choices:
            share = 1.0 if shape[0] == 1 else self.config.stills if still else 1 - self.config.stills
            size = self.batch_size((1, *shape[1:]) if still else shape)
            weights.append(share * sum(len(shard) for shard in buckets[shape]) / size)
        return choices[rng.choice(len(choices), p=np.array(weights) / sum(weights))]

    def _words(
        self, rows: list[tuple[Shard, int]], rng: np.random.Generator, wanted: slice
    ) -> tuple[Tensor, Tensor]:
        """The wanted rows' states (b l d) and lengths (b); l is that of the whole batch."""
        shares = np.array(self.config.captions) / sum(self.config.captions)
        kinds = rng.choice(len(KINDS), size=len(rows), p=shares)
        dropped = rng.random(len(rows)) < self.config.drop
        lengths = torch.tensor(
            [
                len(self.empty) if drop else int(shard["text_lengths"][row, kind])
                for (shard, row), kind, drop in zip(rows, kinds, dropped, strict=True)
            ]
        )
        unit = self.config.round_words
        longest = -(-int(lengths.max()) // unit) * unit
        lengths = lengths[wanted]
        text = torch.zeros(len(lengths), longest, self.empty.shape[-1], dtype=torch.bfloat16)
        chosen = zip(rows[wanted], kinds[wanted], dropped[wanted], lengths.tolist(), strict=True)
        for index, ((shard, row), kind, drop, length) in enumerate(chosen):
            text[index, :length] = self.empty if drop else shard[f"text_{KINDS[kind]}"][row, :length]
        return text, lengths

    def _buckets(self, stretch: int) -> dict[Shape, list[Shard]]:
        """Shards by shape, as recorded for this stretch of steps; recorded now if it never was."""
        with self._lock:
            if self._stretch[0] == stretch:
                return self._stretch[1]
            self._hashes = shard_hashes(self.folder)
            path = self.lists / f"{stretch:06d}.json"
            if path.exists():
                names = json.loads(path.read_text())
            else:
                names = [
                    file.name for file in sorted(self.folder.glob("*.safetensors")) if self._open(file.name)
                ]
                if names:
                    names = json.loads(write_once(path, json.dumps(names)))
            buckets: dict[Shape, list[Shard]] = {}
            for name in names:
                shard = self._open(name)
                if shard:
                    if all((name, row) in self.held for row in range(len(shard))):
                        continue
                    buckets.setdefault(_shape(shard), []).append(shard)
            if not buckets:
                raise UserError(
                    f"{self.folder} holds no shards of latents: make them first (docs/training.md)."
                )
            self._stretch = stretch, buckets
            return buckets

    def _open(self, name: str) -> Shard | None:
        """A shard, or None where it is damaged: said once, counted in `skipped`, left out."""
        if name not in self._shards and name not in self.skipped:
            try:
                self._check_hash(name)
                shard = read_shard(self.folder / name)
                needed = {"latents", "text_lengths"}
                needed |= {
                    name for name, on in (("map", self.config.maps), ("scene", self.config.scenes)) if on
                }
                missing = needed - shard.tensors.keys()
                if missing:
                    raise ShardError(f"{shard.path} has no {min(missing)}: render it again.")
                self._shards[name] = shard
            except ShardError as error:
                self.skipped.add(name)
                log.warning("%s Left out (%d so far).", error, len(self.skipped))
        return self._shards.get(name)

    def _check_hash(self, name: str) -> None:
        """Refuse a shard that is not what data.json says: flipped bits are numbers too. Raises ShardError."""
        expected, path = self._hashes.get(name), self.folder / name
        if expected and not path.exists():
            raise ShardError(f"{path} is missing: run sorairo data build again, which makes it again.")
        if expected and file_hash(path) != expected:
            self._hashes = shard_hashes(self.folder)  # a build may have replaced it meanwhile
            if self._hashes.get(name, expected) != file_hash(path):
                raise ShardError(f"{path} is damaged: run sorairo data build again, which makes it again.")


def _shape(shard: Shard) -> Shape:
    t, h, w = shard["latents"].shape[2:]
    return int(t), int(h), int(w)


def _place(ends: np.ndarray, pick: int) -> int:
    return int(np.searchsorted(ends, pick, side="right"))
