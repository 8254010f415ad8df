"""Loss on held-out clips at fixed noise, beside the same on clips that are trained on: overfitting seen early."""

# Letters: b clips, c channels, t h w latent grid, l words, d width of a word's state

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from sorairo.data.shards import Shard
from sorairo.files import write_once
from sorairo.flow.path import interpolate, towards
from sorairo.training.rng import torch_rng
from sorairo.transformer.model import Transformer

__all__ = ["Place", "Validation", "hold_out"]

log = logging.getLogger(__name__)

Place = tuple[str, int]  # a shard's name and a row
LEVELS = (0.2, 0.4, 0.6, 0.8, 0.95)  # of noise
NOISE = 8  # the stream of random numbers; the loop, the loader and the objectives have others
RISES = 3  # measurements above the best in a row that count as overfitting


def hold_out(shards: Sequence[Shard], record: Path, share: float) -> list[Place]:
    """The clips that are kept for validation: about that share, at least one, none of a share of 0.

    All clips of one file are held or none. The choice goes by a hash of the file's content (where the shards know it),
    so it does not depend on order; it is written to `record` and stays as it is while clips are added.
    """
    if share <= 0:
        return []
    clips = [
        (str(one.get("sha256") or f"{shard.path.name} {row}"), (shard.path.name, row))
        for shard in shards
        for row, one in enumerate(shard.records)
    ]
    files = sorted({key for key, _ in clips}, key=lambda key: hashlib.sha256(key.encode()).hexdigest())
    if len(files) < 2:
        return []
    count = min(len(files) - 1, max(1, round(share * len(files))))
    chosen = set(json.loads(write_once(record, json.dumps(files[:count]))))
    return [place for key, place in clips if key in chosen]


@dataclass(kw_only=True)
class Validation:
    """Velocity errors of held-out clips and of as many that are trained on, always at the same noise and words.

    `scores(transformer)` -> {"validation": ..., "trained": ...}. Warns once when validation has been above its best for
    RISES measurements.
    """

    shards: Sequence[Shard]
    held: Sequence[Place]
    most: int = 16
    predicts: Literal["velocity", "data"] = "velocity"
    seen: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._shards = {shard.path.name: shard for shard in self.shards}
        held = set(self.held)
        rows = [(shard.path.name, row) for shard in self.shards for row in range(len(shard))]
        free = [place for place in rows if place not in held]
        self._sets = {
            "validation": _spread(sorted(held), self.most),
            "trained": _spread(free, min(self.most, max(1, len(held)))),
        }

    def scores(self, transformer: Transformer) -> dict[str, float]:
        """The mean squared error of the velocity on both sets; nothing where no clip is held out."""
        if not self.held:
            return {}
        made = {name: self._error(transformer, places) for name, places in self._sets.items()}
        self.seen.append(made["validation"])
        best = min(range(len(self.seen)), key=self.seen.__getitem__)
        if len(self.seen) - 1 - best == RISES:
            log.warning(
                "the loss on held-out clips has been above its best (%.4f, %d measurements ago) for a while: more "
                "steps will learn the training clips by heart; samples/ keeps what was saved then",
                self.seen[best],
                RISES,
            )
        return made

    def _error(self, transformer: Transformer, places: Sequence[Place]) -> float:
        errors = [
            self._at(transformer, place, index, sigma)
            for index, place in enumerate(places)
            for sigma in LEVELS
        ]
        return float(torch.stack(errors).mean())

    @torch.no_grad()
    def _at(self, transformer: Transformer, place: Place, index: int, sigma: float) -> Tensor:
        shard, row = self._shards[place[0]], place[1]
        weight = transformer.head.project.weight
        data = shard["latents"][row : row + 1].to(weight.device).float()  # 1 c t h w
        noise = torch.randn(data.shape, generator=torch_rng(index, round(1000 * sigma), NOISE)).to(data)
        length = int(shard["text_lengths"][row, 0])
        text = shard["text_long"][row : row + 1, :length].to(weight)  # 1 l d
        level = torch.full((1, data.shape[2]), sigma, device=data.device)
        noisy = interpolate(data, noise, level)
        said = transformer(
            noisy.to(weight.dtype), 1000 * level, text, torch.tensor([length], device=data.device)
        )
        velocity = towards(noisy, said.float(), level) if self.predicts == "data" else said.float()
        return (velocity - (noise - data)).square().mean()


def _spread(places: Sequence[Place], most: int) -> list[Place]:
    """At most that many of them, evenly."""
    if len(places) <= most:
        return list(places)
    return [places[index * len(places) // most] for index in range(most)]
