"""Training of the small decoder beside the codec whose latent space it reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from sorairo.codec.small import SmallDecoder, SmallDecoderConfig
from sorairo.data.shards import read_shard
from sorairo.training.objectives.codec import CodecBatch, CodecObjective
from sorairo.training.parallel.processes import ALONE, Share

__all__ = ["SmallDecoderObjective", "write_small_decoder"]


@dataclass
class SmallDecoderObjective(CodecObjective):
    """As CodecObjective, but what learns is `small`; the codec is only what it is held against.

    own_shards: shards of latents that a model made (`latents`, n z t h w) and of the codec's frames of them (`frames`,
    n T H W 3), for batches of own_batch clips, their first own_latents; each real_every-th batch is of real clips. A
    model's latents are not quite those of any clip, and the codec's decoder, with its fine layers, is smooth where they
    disagree. Learning from real clips alone, a decoder that writes whole blocks shows their edges there.
    """

    small: SmallDecoder = field(default_factory=lambda: SmallDecoder(SmallDecoderConfig()))
    own_shards: Sequence[Path] = ()
    own_batch: int = 3
    own_latents: int = 5
    real_every: int = 3

    def __post_init__(self) -> None:
        super().__post_init__()
        self.own = [read_shard(path) for path in self.own_shards]
        self.codec.requires_grad_(False)
        self.models = {"small": self.small}

    def settings(self) -> dict[str, Any]:
        """What decides the losses."""
        own = {
            "shards": [path.name for path in self.own_shards],
            "batch": self.own_batch,
            "real": self.real_every,
        }
        return super().settings() | {"small": asdict(self.small.config), "own": own}

    def batch(self, step: int, share: Share = ALONE) -> CodecBatch:
        """Crops of training clips, or the beginnings of clips that a model made."""
        if not self.own or step % self.real_every == 0:
            return super().batch(step, share)
        rng = np.random.default_rng((self.config.seed, step, 1))
        shard = self.own[rng.integers(len(self.own))]
        rows = rng.choice(len(shard), size=self.own_batch, replace=False)[share.rows(self.own_batch)]
        frames = 1 + (self.own_latents - 1) * self.small.config.time_factor
        return CodecBatch(
            clips=torch.stack([shard["frames"][int(row), :frames] for row in rows]),
            total=self.own_batch,
            latents=torch.stack([shard["latents"][int(row), :, : self.own_latents] for row in rows]).float(),
        )

    def pixels(self, z: Tensor) -> Tensor:
        """b z t h w -> b 3 t h w, not clamped"""
        return self.small(z.to(self.small.first.weight.dtype))

    def flops(self, batch: CodecBatch) -> float:
        """Three passes' worth of its products."""
        b, t, h, w, _ = batch.clips.shape
        config = self.small.config
        side, latents = config.space_factor, 1 + (t - 1) // config.time_factor
        return 3 * self.small.flops(b * latents * (h // side) * (w // side))

    def export(self, folder: Path) -> None:
        """decoder/config.json and decoder/model.safetensors (bf16)."""
        write_small_decoder(self.small, folder / "decoder")


def write_small_decoder(small: SmallDecoder, folder: Path) -> None:
    """Write a small decoder (bf16) in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().bfloat16().contiguous() for name, value in small.state_dict().items()}
    (folder / "config.json").write_text(json.dumps(asdict(small.config), indent=2) + "\n")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
