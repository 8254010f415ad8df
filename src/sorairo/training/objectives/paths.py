"""A student that takes in one step what its guided teacher takes in several: it learns the teacher's own paths.

The teacher solves the path from noise to data once for each clip, under guidance; x is kept at the few levels that the
student will visit. The student learns the mean velocity from each of these levels to the next, so an Euler step lands
where the teacher's many steps did, and guidance is in its weights. Source: Salimans & Ho 2022 (progressive
distillation, arXiv 2202.00512), in one round, with guidance as in Meng et al. 2023 (arXiv 2210.03142).
"""

# Letters: n clips, b rows of a batch, k levels, c channels, t h w latent grid, l words, d width of a word's state

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sorairo.data.loader import Loader
from sorairo.data.shards import read_shard, write_shard
from sorairo.flow.guidance import cfg
from sorairo.flow.schedule import timestep_of, unipc_sigmas
from sorairo.flow.solvers import unipc
from sorairo.flow.times import known_frames
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.training.rng import torch_rng
from sorairo.transformer.model import Transformer, forward_flops
from sorairo.types import UserError

__all__ = ["PathBatch", "PathStudent", "PathsConfig", "guided_path", "make_paths"]

log = logging.getLogger(__name__)
STREAM = 4  # of random numbers; others belong to the loop, the loader and the other objectives
CLIPS = 8  # in a file


@dataclass(frozen=True, kw_only=True)
class PathsConfig:
    """steps: of the student. per_step: of the teacher for each of them. shift: of the levels. guidance: the teacher's.
    known: the share of files whose clips have given frames. rows: levels of each clip in a batch, of all its levels."""

    seed: int = 0
    steps: int = 4
    per_step: int = 2
    shift: float = 4.0
    guidance: float = 3.0
    known: float = 0.25
    rows: int = 2

    def __post_init__(self) -> None:
        if self.steps < 1 or self.per_step < 1 or not 1 <= self.rows <= self.steps:
            raise UserError("A student takes at least one step, and a batch one to all of its levels.")

    @property
    def sigmas(self) -> list[float]:
        """The student's levels, 0 behind them."""
        return unipc_sigmas(self.steps, self.shift)


@torch.no_grad()
def guided_path(
    teacher: Transformer,
    data: Tensor,
    noise: Tensor,
    given: Tensor,
    words: tuple[Tensor, Tensor],
    nothing: tuple[Tensor, Tensor],
    config: PathsConfig,
) -> Tensor:
    """x at each of the student's levels, noise first: (n k+1 c t h w).

    data, noise: (n c t h w). given: bool (n t), frames that are known: they stay as in data, at level 0. words,
    nothing: (states (n l d), lengths (n)) of the captions and of the empty sentence.
    """
    fixed = given[:, None, :, None, None]
    dtype = teacher.head.project.weight.dtype
    states = torch.cat([words[0], nothing[0]]).to(dtype)
    lengths = torch.cat([words[1], nothing[1]])

    def velocity(x: Tensor, sigma: float) -> Tensor:
        x = torch.where(fixed, data, x)
        times = torch.full(given.shape, float(timestep_of(sigma)), device=x.device).masked_fill(given, 0.0)
        both = teacher(torch.cat([x, x]).to(dtype), torch.cat([times, times]), states, lengths).float()
        asked, free = both.chunk(2)
        return cfg(asked, free, config.guidance)

    seen = [noise]

    def keep(step: int, x: Tensor) -> None:
        if (step + 1) % config.per_step == 0:
            seen.append(x.clone())

    unipc(velocity, noise, unipc_sigmas(config.steps * config.per_step, config.shift), keep)
    return torch.stack(seen, 1)


def make_paths(folder: Path, count: int, teacher: Transformer, loader: Loader, config: PathsConfig) -> int:
    """Write `count` files of paths, of clips and captions that the loader draws; those that are there stay. Returns how
    many were written. loader: without dropped captions."""
    folder.mkdir(parents=True, exist_ok=True)
    device = teacher.head.project.weight.device
    written = 0
    for index in range(count):
        path = folder / f"paths-{index:05d}.safetensors"
        if path.is_file():
            continue
        generator = torch_rng(config.seed, index, STREAM)
        batch = loader.batch(index, lambda rows: slice(0, min(CLIPS, rows)))
        data = batch.latents.float().to(device)
        n, t = len(data), data.shape[2]
        given = torch.zeros(n, t, dtype=torch.bool)
        if t > 1 and float(torch.rand((), generator=generator)) < config.known:
            given = known_frames(n, t, generator)
        noise = torch.randn(data.shape, generator=generator).to(device)
        length = max(batch.text.shape[1], len(loader.empty))
        text = torch.zeros(n, length, batch.text.shape[2])
        text[:, : batch.text.shape[1]] = batch.text.float()
        empty = torch.zeros_like(text)
        empty[:, : len(loader.empty)] = loader.empty
        words = text.to(device), batch.lengths.to(device)
        nothing = empty.to(device), torch.full_like(batch.lengths, len(loader.empty)).to(device)
        x = guided_path(teacher, data, noise, given.to(device), words, nothing, config)
        tensors = {"x": x.half().cpu(), "data": data.half().cpu(), "given": given}
        write_shard(
            path, {**tensors, "text": text.half(), "text_lengths": batch.lengths}, [{}] * n, asdict(config)
        )
        written += 1
        log.info("paths: file %d of %d", index + 1, count)
    return written


@dataclass(frozen=True, kw_only=True)
class PathBatch:
    """here, target: (b c t h w), x at a level with known frames in place, and the mean velocity to the next level.

    time: (b t). free: (b t), 1 for new frames. text: (b l d), lengths: (b). total: rows of all shares.
    """

    here: Tensor
    target: Tensor
    time: Tensor
    free: Tensor
    text: Tensor
    lengths: Tensor
    total: int


class PathStudent:
    """An Objective. student: begins as the teacher. sampler, exporter: see Diffusion."""

    def __init__(
        self,
        student: Transformer,
        folder: Path,
        config: PathsConfig,
        sampler: Callable[[Transformer, Path, int], dict[str, float]],
        exporter: Callable[[Transformer, Path], None],
    ):
        self.student, self.folder, self.config = student.requires_grad_(True), folder, config
        self._sampler, self._exporter = sampler, exporter

    @property
    def models(self) -> dict[str, nn.Module]:
        return {"transformer": self.student}

    def settings(self) -> dict[str, Any]:
        return {"transformer": asdict(self.student.config), "paths": asdict(self.config)}

    def batch(self, step: int, share: Share = ALONE) -> PathBatch:
        files = sorted(self.folder.glob("paths-*.safetensors"))
        if not files:
            raise UserError(f"{self.folder} holds no paths of the teacher: make them with --data-only first.")
        rng = np.random.default_rng((self.config.seed, step, STREAM))
        shard = read_shard(files[rng.integers(len(files))])
        n, sigmas = len(shard), torch.tensor(self.config.sigmas)
        levels = torch.from_numpy(np.stack([rng.permutation(self.config.steps) for _ in range(n)]))  # n k
        clips = torch.arange(n).repeat_interleave(self.config.rows)  # b
        levels = levels[:, : self.config.rows].reshape(-1)  # b
        rows = share.rows(len(clips))
        i, k = clips[rows], levels[rows]
        here, there = shard["x"][i, k].float(), shard["x"][i, k + 1].float()
        given, fixed = shard["given"][i], shard["given"][i][:, None, :, None, None]
        stamps = torch.tensor([float(timestep_of(sigma)) for sigma in self.config.sigmas])
        return PathBatch(
            here=torch.where(fixed, shard["data"][i].float(), here),
            target=(there - here) / (sigmas[k + 1] - sigmas[k])[:, None, None, None, None],
            time=stamps[k][:, None].expand(-1, given.shape[1]).masked_fill(given, 0.0),
            free=(~given).float(),
            text=shard["text"][i].float(),
            lengths=shard["text_lengths"][i],
            total=len(clips),
        )

    def loss(self, batch: PathBatch, step: int, share: Share = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        dtype = self.student.head.project.weight.dtype
        said = self.student(batch.here.to(dtype), batch.time, batch.text.to(dtype), batch.lengths).float()
        free = batch.free[:, None, :, None, None]
        error = ((said - batch.target).square() * free).sum((1, 2, 3, 4))
        error = error / (free.sum((1, 2, 3, 4)) * said[0, :, 0].numel()).clamp_min(1)
        loss = share.of * error.sum() / batch.total
        return loss, {"velocity": loss.detach()}

    def count(self, batch: PathBatch) -> tuple[int, int]:
        b, _, t, h, w = batch.here.shape
        return b, b * t * h * w // self.student.config.patch_side**2

    def flops(self, batch: PathBatch) -> float:
        b, _, t, h, w = batch.here.shape
        tokens = t * h * w // self.student.config.patch_side**2
        return 3.0 * b * forward_flops(self.student.config, tokens=tokens, words=batch.text.shape[1], times=t)

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        return self._sampler(self.student, folder, step)

    def export(self, folder: Path) -> None:
        self._exporter(self.student, folder)
