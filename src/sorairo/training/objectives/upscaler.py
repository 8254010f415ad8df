"""Training of the upscaler (sorairo/upscale) on crops of clips, beside their halves and what a codec made of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from sorairo.codec.losses import charbonnier, psnr
from sorairo.data.shards import read_shard
from sorairo.pixels import from_levels
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.training.rng import numpy_rng
from sorairo.types import UserError
from sorairo.upscale.apply import as_levels, as_model_frames, save_upscaler
from sorairo.upscale.network import Upscaler, bicubic, with_neighbours

__all__ = ["Pairs", "UpscalerObjective", "UpscalerObjectiveConfig"]


@dataclass(frozen=True, kw_only=True)
class UpscalerObjectiveConfig:
    """crop: side of the small crops in pixels. decoded: share of crops that went through the codec. alone: share whose
    neighbours are the frame itself, as a still's are; cut: share that has a neighbour of another scene, as at a cut.
    tries: places that are looked at for each crop; the one with most detail is taken.
    """

    crop: int = 24
    batch: int = 16
    seed: int = 0
    decoded: float = 0.5
    alone: float = 0.1
    cut: float = 0.03
    tries: int = 4
    held_out: int = 8


class Pairs:
    """Crops drawn as a pure function of the seed and the step, mirrored half of the time, colours exchanged sometimes.

    A shard has `frames` uint8 (n t 2h 2w 3), `halves` (n t h w 3) and `decoded` (n t h w 3).
    """

    def __init__(self, shards: Sequence[Path], config: UpscalerObjectiveConfig) -> None:
        if not shards:
            raise UserError("There are no clips to train the upscaler on; run the recipe's data first.")
        self.config, self.shards = config, [read_shard(path) for path in shards]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Small crops uint8 b 9 s s (before, the frame, after), and what they were, b 3 2s 2s."""
        rng = numpy_rng(self.config.seed, step)
        pairs = [self.pair(rng) for _ in range(self.config.batch)]
        small, large = (torch.stack(part) for part in zip(*pairs, strict=True))
        return small.flatten(1, 2), large

    def pair(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """uint8 3 3 s s (before, the frame, after; then colours) and 3 2s 2s."""
        config = self.config
        shard = self.shards[rng.integers(len(self.shards))]
        small = shard["decoded" if rng.random() < config.decoded else "halves"]
        n, t = small.shape[:2]
        clip, frame = int(rng.integers(n)), int(rng.integers(t))
        numbers = [max(frame - 1, 0), frame, min(frame + 1, t - 1)]
        top, left = self.place(small[clip, frame], rng)
        s = config.crop
        across, down = slice(left, left + s), slice(top, top + s)
        draw = rng.random()
        if draw < config.alone:
            numbers = [frame] * 3
        seen = small[clip, numbers, down, across]  # 3 s s 3
        if config.alone <= draw < config.alone + config.cut:
            side = int(rng.choice((0, 2)))
            seen[side] = small[int(rng.integers(n)), frame, down, across]
        truth = shard["frames"][clip, frame, 2 * top : 2 * (top + s), 2 * left : 2 * (left + s)]
        if rng.random() < 0.5:
            seen, truth = seen.flip(2), truth.flip(1)
        if rng.random() < 0.3:
            order = torch.from_numpy(rng.permutation(3))
            seen, truth = seen[..., order], truth[..., order]
        return seen.permute(0, 3, 1, 2), truth.permute(2, 0, 1)

    def place(self, frame: Tensor, rng: np.random.Generator) -> tuple[int, int]:
        """(top, left) of a crop of a frame h w 3: of some random places the one with the largest differences."""
        h, w, _ = frame.shape
        s, best, found = self.config.crop, -1.0, (0, 0)
        for _ in range(self.config.tries):
            top, left = int(rng.integers(h - s + 1)), int(rng.integers(w - s + 1))
            crop = frame[top : top + s, left : left + s].float()
            detail = float(crop.diff(dim=0).square().mean() + crop.diff(dim=1).square().mean())
            if detail > best:
                best, found = detail, (top, left)
        return found


@dataclass
class UpscalerObjective:
    """An Objective (see objective.py): the mean distance to the large frames."""

    network: Upscaler
    config: UpscalerObjectiveConfig
    train_shards: list[Path]
    held_out_shards: list[Path]
    models: dict[str, nn.Module] = field(init=False)

    def __post_init__(self) -> None:
        self.pairs = Pairs(self.train_shards, self.config)
        self.models = {"upscaler": self.network}

    def settings(self) -> dict[str, Any]:
        """What decides the losses."""
        return {
            "upscaler": asdict(self.network.config),
            "upscaler_loss": asdict(self.config),
            "shards": [path.name for path in self.train_shards],
        }

    def batch(self, step: int, share: Share = ALONE) -> tuple[Tensor, Tensor]:
        """See Pairs.batch."""
        small, large = self.pairs.batch(step)
        rows = share.rows(len(small))
        return small[rows], large[rows]

    def loss(
        self, batch: tuple[Tensor, Tensor], step: int, share: Share = ALONE
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Charbonnier's distance; the parts say what it and bicubic reach on the crops, in dB."""
        small, large = (from_levels(part) for part in batch)
        error = self.network(small) - large
        with torch.no_grad():
            plain = bicubic(small[:, 3:6]) - large
            parts = {
                name: 10 * torch.log10(4 / e.square().mean())
                for name, e in (("psnr", error), ("bicubic", plain))
            }
        return charbonnier(error), parts

    def count(self, batch: tuple[Tensor, Tensor]) -> tuple[int, int]:
        """Crops and pixels of the large ones."""
        return len(batch[1]), batch[1][:, 0].numel()

    def flops(self, batch: tuple[Tensor, Tensor]) -> float:
        """Three passes' worth of the convolutions."""
        weights = sum(p.numel() for p in self.network.parameters() if p.ndim == 4)
        return 6.0 * weights * batch[0][:, 0].numel()

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        """PSNR in dB over held-out clips by this network and by bicubic; and bicubic, network, truth as a picture."""
        scores: dict[str, list[float]] = {}
        rows, device = [], next(self.network.parameters()).device
        for path in self.held_out_shards:
            shard = read_shard(path)
            for index in range(min(self.config.held_out, len(shard))):
                truth = as_model_frames(shard["frames"][index].numpy()).to(device)
                for kind in ("halves", "decoded"):
                    small = as_model_frames(shard[kind][index].numpy()).to(device)
                    made, plain = self.network(with_neighbours(small)), bicubic(small)
                    for name, frames in ((kind, made), (f"{kind}_bicubic", plain)):
                        level = psnr(frames.clamp(-1, 1)[None], truth[None])
                        scores.setdefault(name, []).append(float(level))
                if len(rows) < 3 and truth.shape[-1] == 192:
                    middle = len(truth) // 2
                    rows.append(torch.cat([plain[middle], made[middle], truth[middle]], dim=-1))
        if rows:
            Image.fromarray(as_levels(torch.cat(rows, dim=-2)[None].cpu())[0]).save(folder / "held_out.png")
        return {name: float(np.mean(values)) for name, values in scores.items()}

    def export(self, folder: Path) -> None:
        """x2.safetensors"""
        save_upscaler(self.network, folder / "x2.safetensors")
