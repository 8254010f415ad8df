"""A finished model's student: guidance baked into its weights, and a few steps where the teacher takes many.

The student keeps the teacher's shape, so it loads wherever the teacher does. It learns to say the data from any noise
level, and is sampled by going all the way there and back up with fresh noise (flow.solvers.renoise). Two ways:

consistency   two neighbouring points of the guided teacher's path are to have one and the same data. Source: Luo et al.
              2023 (latent consistency models, arXiv 2310.04378); without an averaged target, as Song & Dhariwal 2023
              (arXiv 2310.14189) recommend.
dmd           what the student makes is to be as likely as what the guided teacher makes: a second network learns the
              student's own clips, and the difference of the two is the student's gradient. Source: Yin et al. 2024
              (DMD2, arXiv 2405.14867), sections 3 and 4.

Both learn with words and with known frames. MeanFlow and shortcut models take two times, for which Wan's layout has no
input; that is why they are not here.
"""

# Letters: b clips, c channels, t h w latent grid, l words, d width of a word's state

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from sorairo.data.loader import Batch, Loader
from sorairo.flow.guidance import cfg
from sorairo.flow.loss import velocity_loss
from sorairo.flow.path import data_at, interpolate, over
from sorairo.flow.schedule import unipc_sigmas
from sorairo.flow.times import known_frames, shifted
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.training.rng import torch_rng
from sorairo.transformer.model import Transformer, forward_flops
from sorairo.types import UserError

__all__ = ["Distill", "DistillConfig"]

STREAM = 3  # of random numbers; others belong to the loop, the loader and the plain objective


@dataclass(frozen=True, kw_only=True)
class DistillConfig:
    """How a student learns.

    guidance: of the teacher, which the student needs no more. levels: of the teacher's path, whose neighbours are to
    agree (consistency). times: the timesteps at which the student will be asked, falling (dmd learns at these).
    shift: of the levels. known: the share of clips with given frames, whose noise is at most known_sigma.
    """

    way: Literal["consistency", "dmd"] = "consistency"
    seed: int = 0
    guidance: float = 3.0
    levels: int = 32
    times: tuple[int, ...] = (1000, 900, 750, 500)
    shift: float = 4.0
    known: float = 0.2
    known_sigma: float = 0.1

    def __post_init__(self) -> None:
        if list(self.times) != sorted(set(self.times), reverse=True) or not self.times:
            raise UserError(f"The times of few steps fall, each another one; these are {self.times}.")
        if not all(0 < time <= 1000 for time in self.times):
            raise UserError(f"The times of few steps lie above 0 and up to 1000; these are {self.times}.")


class Step(NamedTuple):
    """A share of a batch. sigma: (b t). free: (b t), 1 for new frames, 0 for known ones. words, nothing:
    (states (b l d), lengths (b)) of the captions and of the empty sentence. rows: which of the `total` clips of the
    step these are. clips, frames: what this share weighs beside the others, by its clips and by its new frames; the
    mean over all shares is 1."""

    data: Tensor
    noise: Tensor
    sigma: Tensor
    free: Tensor
    words: tuple[Tensor, Tensor]
    nothing: tuple[Tensor, Tensor]
    rows: slice
    total: int
    clips: float
    frames: Tensor

    def draw(self, kind: Callable[..., Tensor], *shape: int) -> Tensor:
        """This share's rows of random numbers that are drawn for the whole batch, from torch's own generator, which the
        loop seeds at every step."""
        return kind(self.total, *shape)[self.rows].to(self.data)


class Distill:
    """An Objective. sampler(transformer, folder, step) -> scores and exporter(transformer, folder) are handed in."""

    def __init__(
        self,
        teacher: Transformer,
        loader: Loader,
        config: DistillConfig,
        sampler: Callable[[Transformer, Path, int], dict[str, float]],
        exporter: Callable[[Transformer, Path], None],
    ):
        if loader.config.drop:
            raise UserError("A student that needs no guidance is never without words: LoaderConfig(drop=0).")
        self.teacher = teacher.requires_grad_(False)
        self.student = copy.deepcopy(teacher).requires_grad_(True)
        self.critic = copy.deepcopy(self.student) if config.way == "dmd" else None
        self.loader, self.config = loader, config
        self._sampler, self._exporter = sampler, exporter

    @property
    def models(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"transformer": self.student}
        return networks if self.critic is None else {**networks, "critic": self.critic}

    def settings(self) -> dict[str, Any]:
        return {
            "transformer": asdict(self.student.config),
            "data": asdict(self.loader.config),
            "distill": asdict(self.config),
        }

    def batch(self, step: int, share: Share = ALONE) -> Batch:
        return self.loader.batch(step, share.rows)

    def loss(self, batch: Batch, step: int, share: Share = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch_rng(self.config.seed, step, STREAM)
        one = self._step(batch, share, generator)
        return self._consistent(one) if self.critic is None else self._matched(one)

    def _step(self, batch: Batch, share: Share, generator: torch.Generator) -> Step:
        """Whatever is drawn is drawn for all n clips of the step: a share does not change it."""
        data = batch.latents.float()  # b c t h w
        n, t, device = batch.total, data.shape[2], data.device
        rows = share.rows(n)
        self.teacher.to(device)  # the loop moves what it trains
        levels = torch.tensor(self.points)
        sigma = levels[torch.randint(len(levels) - 1, (n, 1), generator=generator)].expand(n, t)  # n t
        given = known_frames(n, t, generator)
        given &= torch.rand(n, 1, generator=generator) < self.config.known
        low = torch.rand(n, 1, generator=generator) * self.config.known_sigma
        sigma, free = torch.where(given, torch.minimum(low, sigma), sigma), (~given).float()
        noise = torch.randn((n, *data.shape[1:]), generator=generator)
        dtype = self.student.head.project.weight.dtype
        text, lengths = batch.text.to(dtype), batch.lengths
        empty = torch.zeros_like(text)
        words = self.loader.empty[: text.shape[1]].to(text)
        empty[:, : len(words)] = words
        return Step(
            data=data,
            noise=noise[rows].to(device),
            sigma=sigma[rows].to(device),
            free=free[rows].to(device),
            words=(text, lengths),
            nothing=(empty, torch.full_like(lengths, len(words))),
            rows=rows,
            total=n,
            clips=share.of * len(data) / n,
            frames=(share.of * free[rows].sum() / free.sum().clamp_min(1)).to(device),
        )

    @property
    def points(self) -> list[float]:
        """The levels that are drawn from, and 0 behind them."""
        if self.config.way == "dmd":
            return [time / 1000 for time in self.config.times] + [0.0]
        return unipc_sigmas(self.config.levels, self.config.shift)

    def _consistent(self, one: Step) -> tuple[Tensor, dict[str, Tensor]]:
        noisy = interpolate(one.data, one.noise, one.sigma)
        with torch.no_grad():
            points = torch.tensor(self.points, device=noisy.device)
            above = (points >= one.sigma[..., None] - 1e-6).sum(-1)  # b t: how many levels are not below
            after = points[above.clamp_max(len(points) - 1)]  # b t: the next lower
            after = torch.where(one.free > 0, after, one.sigma)  # known frames stay as they are
            velocity = self._guided(noisy, one.sigma, one)
            nearer = noisy + over(noisy, after - one.sigma) * velocity
            target = data_at(nearer, self._says(self.student, nearer, after, one.words), after)
        made = data_at(noisy, self._says(self.student, noisy, one.sigma, one.words), one.sigma)
        loss = one.clips * _huber(made - target, one.free)
        return loss, {"consistency": loss.detach()}

    def _matched(self, one: Step) -> tuple[Tensor, dict[str, Tensor]]:
        assert self.critic is not None
        noisy = interpolate(one.data, one.noise, one.sigma)
        made = data_at(noisy, self._says(self.student, noisy, one.sigma, one.words), one.sigma)
        free = one.free[:, None, :, None, None]
        made = free * made + (1 - free) * one.data  # b c t h w
        again = one.draw(torch.randn, *made.shape[1:])
        level = one.draw(torch.rand, 1).clamp(0.02, 0.98)
        level = shifted(level, self.config.shift) * one.free  # b t
        with torch.no_grad():
            there = interpolate(made, again, level)
            likely = data_at(there, self._guided(there, level, one), level)
            own = data_at(there, self._says(self.critic, there, level, one.words), level)
            size = ((made - likely).abs() * free).mean(dim=(1, 2, 3, 4), keepdim=True).clamp_min(1e-3)
            better = made - (own - likely) / size
        student = (
            0.5 * ((made - better).square() * free).sum() / (free.sum() * made[0, :, 0].numel()).clamp_min(1)
        )
        copied = made.detach()
        guess = self._says(self.critic, interpolate(copied, again, level), level, one.words)
        critic = velocity_loss(guess, copied, again, one.free)
        return one.frames * (student + critic), {"student": student.detach(), "critic": critic.detach()}

    def _guided(self, x: Tensor, sigma: Tensor, one: Step) -> Tensor:
        """The teacher's velocity under guidance."""
        asked = self._says(self.teacher, x, sigma, one.words)
        return cfg(asked, self._says(self.teacher, x, sigma, one.nothing), self.config.guidance)

    @staticmethod
    def _says(network: Transformer, x: Tensor, sigma: Tensor, words: tuple[Tensor, Tensor]) -> Tensor:
        dtype = network.head.project.weight.dtype
        return network(x.to(dtype), 1000 * sigma, words[0].to(dtype), words[1]).float()

    def count(self, batch: Batch) -> tuple[int, int]:
        b, _, t, h, w = batch.latents.shape
        return b, b * t * h * w // self.student.config.patch_side**2

    def flops(self, batch: Batch) -> float:
        b, _, t, h, w = batch.latents.shape
        tokens = t * h * w // self.student.config.patch_side**2
        one = forward_flops(self.student.config, tokens=tokens, words=batch.text.shape[1] + 1, times=t)
        return b * one * (6.0 if self.critic is None else 9.0)

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        return self._sampler(self.student, folder, step)

    def export(self, folder: Path) -> None:
        self._exporter(self.student, folder)


def _huber(error: Tensor, free: Tensor) -> Tensor:
    """sqrt(|error|^2 + c^2) - c of each clip's prediction, the mean over clips. Source: Song & Dhariwal 2023,
    equation 8."""
    counts = free[:, None, :, None, None]
    size = error[0, :, 0].numel() * error.shape[2]
    c = 0.00054 * size**0.5
    return ((error.square() * counts).sum(dim=(1, 2, 3, 4)) + c**2).sqrt().sub(c).mean() / size**0.5
