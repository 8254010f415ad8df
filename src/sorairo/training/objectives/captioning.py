"""The captioner's objective: the next word of a clip's captions, and what is where in it.

DALL-E 3's way (Betker et al. 2023, section 2.2): a short sentence on the main subject, and one that says everything;
here both are exact, since the clips are simulated. State maps teach the encoder early, as in alignment.py.
"""

# Letters: b clips, c channels, t h w latent grid, k kinds of a map, l words

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sorairo.data.captions.network import EVERYTHING, PAD, SUBJECT, CaptionerNetwork
from sorairo.data.shards import Shard, read_shard
from sorairo.files import write_once
from sorairo.training.objectives.alignment import MapHead
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.types import UserError

__all__ = ["Captioning", "CaptioningConfig", "Shown"]

SAID = {"short": SUBJECT, "long": EVERYTHING}
"""Which caption of a shard is a subject's, and which says everything."""


@dataclass(frozen=True, kw_only=True)
class Shown:
    """latents: (b c t h w). words: (b l), the mark, the words, the end, then PAD. map: uint8 (b k t h w)."""

    latents: Tensor
    words: Tensor
    map: Tensor


@dataclass(frozen=True, kw_only=True)
class CaptioningConfig:
    """batch: clips of a step, all of one size. held: shards kept back for the score. maps: weight of the maps."""

    seed: int = 0
    batch: int = 32
    held: int = 2
    maps: float = 0.5


class Captioning:
    """An Objective over a folder of shards with state maps; which of them is decided at the first start.

    exporter(network, folder) is handed in. Raises UserError where the folder has too few shards.
    """

    def __init__(
        self,
        network: CaptionerNetwork,
        folder: Path,
        record: Path,
        config: CaptioningConfig,
        exporter: Callable[[CaptionerNetwork, Path], None],
    ):
        self.network, self.config, self._exporter = network, config, exporter
        self.map_head = MapHead(network.config.width, network.config.patch)
        there = json.dumps([path.name for path in sorted(folder.glob("*.safetensors"))])
        shards = [read_shard(folder / name) for name in json.loads(write_once(record, there))]
        if len(shards) <= config.held:
            raise UserError(
                f"{folder} holds {len(shards)} shards; the captioner learns from {config.held + 1} or more."
            )
        self.held, self.shards = shards[: config.held], shards[config.held :]

    @property
    def models(self) -> dict[str, nn.Module]:
        return {"captioner": self.network, "map_head": self.map_head}

    def settings(self) -> dict[str, Any]:
        return {"captioner": asdict(self.network.config), "captioning": asdict(self.config)}

    def batch(self, step: int, share: Share = ALONE) -> Shown:
        rng = np.random.default_rng((self.config.seed, step, 12))
        sizes = np.array([len(shard) for shard in self.shards], dtype=float)
        first = self.shards[int(rng.choice(len(sizes), p=sizes / sizes.sum()))]
        alike = [shard for shard in self.shards if shard["latents"].shape[1:] == first["latents"].shape[1:]]
        rows = [(shard, row) for shard in alike for row in range(len(shard))]
        picks = rng.choice(len(rows), size=min(self.config.batch, len(rows)), replace=False)
        kinds = rng.choice(list(SAID), size=len(picks))
        chosen = [(*rows[pick], str(kind)) for pick, kind in zip(picks, kinds, strict=True)]
        return self.shown(chosen[share.rows(len(chosen))])

    def shown(self, chosen: Sequence[tuple[Shard, int, str]]) -> Shown:
        """Clips and captions as the network takes them. chosen: shard, row and kind of caption of each."""
        lines = [
            self.network.numbers(shard.records[row]["captions"][kind], SAID[kind])
            for shard, row, kind in chosen
        ]
        lines = [line[: self.network.config.longest] for line in lines]
        words = torch.full((len(lines), max(map(len, lines))), PAD)
        for index, line in enumerate(lines):
            words[index, : len(line)] = torch.tensor(line)
        return Shown(
            latents=torch.stack([shard["latents"][row] for shard, row, _ in chosen]),
            words=words,
            map=torch.stack([shard["map"][row] for shard, row, _ in chosen]),
        )

    def loss(self, batch: Shown, step: int, share: Share = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        dtype = self.network.embed.weight.dtype
        seen = self.network.look(batch.latents.to(dtype))
        scores = self.network.say(seen, batch.words[:, :-1]).float()
        words = F.cross_entropy(scores.transpose(1, 2), batch.words[:, 1:], ignore_index=PAD)
        pace = self.network.config.pace
        maps = self.map_head(seen, batch.map[:, :, ::pace].float() / 255)
        return words + self.config.maps * maps, {"words": words.detach(), "maps": maps.detach()}

    def count(self, batch: Shown) -> tuple[int, int]:
        b, _, t, h, w = batch.latents.shape
        pace, patch = self.network.config.pace, self.network.config.patch
        return b, b * (-(-t // pace) * h * w // patch**2 + batch.words.shape[1])

    def flops(self, batch: Shown) -> float:
        weights = sum(p.numel() for p in self.network.parameters())
        return 3.0 * weights * self.count(batch)[1]  # a token meets about half of the weights, twice

    @torch.no_grad()
    def sample(self, folder: Path, step: int) -> dict[str, float]:
        """Captions of held-out clips (captions.txt), and how many next words are right."""
        self.network.eval()
        right = total = 0
        lines = []
        for shard in self.held:
            batch = self.shown([(shard, row, "long") for row in range(len(shard))])
            latents = batch.latents.to(self.network.embed.weight.dtype)
            wanted = batch.words[:, 1:]
            guessed = self.network(latents, batch.words[:, :-1]).argmax(-1)
            right += int(((guessed == wanted) & (wanted != PAD)).sum())
            total += int((wanted != PAD).sum())
            said = self.network.caption(latents[:4], EVERYTHING)
            lines += [
                f"{one}\n    {record['captions']['long']}"
                for one, record in zip(said, shard.records, strict=False)
            ]
        (folder / "captions.txt").write_text("\n".join(lines) + "\n")
        self.network.train()
        return {"right words": right / max(1, total)}

    def export(self, folder: Path) -> None:
        self._exporter(self.network, folder)
