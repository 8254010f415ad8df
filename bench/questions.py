"""Choices of the recipe, each against the default in equal processor time: python bench/questions.py --latents FOLDER

FOLDER: the shards that `sorairo train default --run DIR --data-only` makes (its clips of 64 px are used). Every arm
trains the same small transformer (4 x 128) from the same seed on the same batches, on one thread, for the same
processor seconds, while the rate falls to zero; so the more costly choice gets fewer steps. Then its averaged weights
are held against held-out scenes at five noise levels:

loss      of the velocity, with wordings that were never trained
exact     the same with exact captions
words     how much higher the loss is with another clip's words: what the words are worth to it

Small models and minutes: what is far apart here is worth knowing, what is close stays open.
"""

from __future__ import annotations

import argparse
import copy
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.loader import Batch, Loader, LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.flow.loss import velocity_loss
from sorairo.flow.path import interpolate
from sorairo.flow.times import TimesConfig, draw_times
from sorairo.text.encoder import TextEncoder
from sorairo.training.objectives.alignment import AlignmentConfig
from sorairo.training.objectives.diffusion import NOISE, Diffusion, DiffusionConfig
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.training.rng import torch_rng
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.worlds import get_world

SIGMAS = (0.3, 0.5, 0.7, 0.85, 0.95)
SMALL = TransformerConfig(channels=24, layers=4, heads=2, hidden=384)
SPACE = Path(__file__).parents[1] / "recipes" / "latent_space.safetensors"


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train. question: the number that it answers; 0 is the default, which all others differ from in one."""

    name: str
    question: int
    shape: TransformerConfig
    optim: OptimConfig
    times: TimesConfig
    align: AlignmentConfig | None
    self_align: bool
    captions: tuple[float, ...]


TIMES = TimesConfig(per_frame=0.2, known=0.2, shift=2.0)
BASE = Arm(
    name="default",
    question=0,
    shape=SMALL,
    optim=OptimConfig(lr=1.5e-3, muon_lr=3e-3),
    times=TIMES,
    align=AlignmentConfig(block=1),
    self_align=False,
    captions=(0.25, 0.15, 0.3, 0.3),
)
ARMS = (
    BASE,
    replace(BASE, question=1, name="AdamW at 1.5e-3", optim=OptimConfig(name="adamw", lr=1.5e-3)),
    replace(BASE, question=1, name="AdamW at 3e-3", optim=OptimConfig(name="adamw", lr=3e-3)),
    replace(BASE, question=2, name="36 tokens a clip, not 144", shape=replace(SMALL, patch_side=4)),
    replace(BASE, question=3, name="no alignment to maps", align=None),
    replace(BASE, question=3, name="aligned to itself (SRA), not to maps", align=None, self_align=True),
    replace(BASE, question=4, name="one time for all frames", times=replace(TIMES, per_frame=0.0)),
    replace(BASE, question=4, name="a time for each frame, always", times=replace(TIMES, per_frame=1.0)),
    replace(BASE, question=5, name="exact captions 95%", captions=(0.95, 0.05, 0.0, 0.0)),
    replace(BASE, question=5, name="exact captions 60%", captions=(0.6, 0.25, 0.1, 0.05)),
    replace(BASE, question=5, name="short captions alone", captions=(0.0, 1.0, 0.0, 0.0)),
)


class SelfAligned(Diffusion):
    """Tokens of the second block are led, through a small network, to those that the average of the model has at less
    noise in its last block: SRA, Jiang et al. 2025 (arXiv 2505.02831), with their weight of 0.2.
    """

    def __init__(self, transformer: Transformer, loader: Loader, config: DiffusionConfig):
        super().__init__(transformer, loader, config, sampler=lambda *_: {}, exporter=lambda *_: None)
        width = transformer.config.width
        self.lead = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, width))
        self.teacher = copy.deepcopy(transformer).requires_grad_(False)

    @property
    def models(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer, "lead": self.lead}

    def loss(self, batch: Batch, step: int, share: Share = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        generator, data = torch_rng(self.config.seed, step, NOISE), batch.latents.float()
        times = draw_times(len(data), data.shape[2], self.config.times, generator)
        noise = torch.randn(data.shape, generator=generator)
        words, seen = batch.text.float(), {}
        noisy = interpolate(data, noise, times.sigma)
        velocity = self.transformer(
            noisy, 1000 * times.sigma, words, batch.lengths, watch=lambda k, x: seen.update({("own", k): x})
        )
        less = (times.sigma - 0.2 * torch.rand(len(data), 1, generator=generator)).clamp_min(0)
        with torch.no_grad():
            cleaner = interpolate(data, noise, less)
            self.teacher(
                cleaner, 1000 * less, words, batch.lengths, watch=lambda k, x: seen.update({("old", k): x})
            )
        last = len(self.transformer.blocks) - 1
        near = F.cosine_similarity(self.lead(seen["own", 1]), seen["old", last], dim=-1).mean()
        return velocity_loss(velocity, data, noise, times.weight) + 0.2 * (1 - near), {}


@dataclass(frozen=True, kw_only=True)
class Exam:
    """Held-out clips: latents (n c t h w), the states of two wordings (n l d) with their lengths (n), and noise."""

    latents: Tensor
    wordings: dict[str, tuple[Tensor, Tensor]]
    noise: Tensor

    @classmethod
    def make(cls, count: int, words: Callable[[list[str]], tuple[Tensor, Tensor]]) -> Exam:
        clips = [
            get_world("studio").clip(7_000_000 + seed, size=(64, 64), split="heldout")
            for seed in range(count)
        ]
        encode = clip_encoder(LatentSpace.load(SPACE))
        latents = encode(np.stack([clip.video.frames for clip in clips]))
        new = words([clip.captions.heldout_paraphrases[0] for clip in clips])
        exact = words([clip.captions.long for clip in clips])
        noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(1))
        return cls(latents=latents, wordings={"loss": new, "exact": exact}, noise=noise)

    @torch.inference_mode()
    def scores(self, model: Transformer) -> dict[str, float]:
        """The mean squared error of the velocity over all sigmas; see the top of this file."""
        made = {name: self._error(model, *words) for name, words in self.wordings.items()}
        states, lengths = self.wordings["exact"]
        return made | {"words": self._error(model, states.roll(1, 0), lengths.roll(1, 0)) - made["exact"]}

    def _error(self, model: Transformer, states: Tensor, lengths: Tensor) -> float:
        errors = []
        for sigma in SIGMAS:
            level = torch.full((len(self.latents), self.latents.shape[2]), sigma)
            for rows in torch.arange(len(self.latents)).split(32):
                noisy = interpolate(self.latents[rows], self.noise[rows], level[rows])
                velocity = model(noisy, 1000 * level[rows], states[rows], lengths[rows])
                errors.append((velocity - (self.noise - self.latents)[rows]).square().mean())
        return float(torch.stack(errors).mean())


def chosen(latents: Path, into: Path) -> None:
    """Links to the shards of 17 frames of 64x64."""
    for path in sorted(latents.glob("*.safetensors")):
        info = read_shard(path).info
        if tuple(info["size"]) == (64, 64) and info["frames"] == 17:
            (into / path.name).symlink_to(path.absolute())


def trained(arm: Arm, latents: Path, lists: Path, empty: Tensor, seconds: float) -> tuple[Transformer, int]:
    """(the averaged model, how many steps it had) after `seconds` of this process's time."""
    torch.manual_seed(0)
    model = Transformer(arm.shape)
    model.init_weights()
    tokens = LoaderConfig(tokens=1152, maps=True, stills=0.0, captions=arm.captions)
    loader = Loader(latents, lists, tokens, empty)
    config = DiffusionConfig(times=arm.times, align=arm.align)
    plain = partial(Diffusion, sampler=lambda *_: {}, exporter=lambda *_: None)
    objective = (SelfAligned if arm.self_align else plain)(model, loader, config)
    named = [(f"{k}.{name}", p) for k, m in objective.models.items() for name, p in m.named_parameters()]
    optimizer = Optimizer(named, arm.optim, torch.float32)
    ema, step, began = Ema(optimizer.weights, 0.99), 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        loss, _ = objective.loss(objective.batch(step), step)
        loss.backward()
        optimizer.step(min(1.0, (step + 1) / 50) * (1 - spent / seconds))
        ema.update(optimizer.weights, step)
        if isinstance(objective, SelfAligned):
            put(ema, objective.teacher)
        step += 1
    put(ema, model)
    return model, step


@torch.no_grad()
def put(ema: Ema, model: Transformer) -> None:
    """The averaged weights into a model."""
    for name, p in model.named_parameters():
        p.copy_(ema.average[f"transformer.{name}"])


def main(latents: Path, seconds: float, clips: int, questions: list[int]) -> None:
    torch.set_num_threads(1)
    text = load_checkpoint("default", "fp32").text
    assert isinstance(text, TextEncoder)
    words = words_encoder(text)
    exam = Exam.make(clips, words)
    states, lengths = words([""])
    print(f"{seconds:g} processor seconds each, one thread; {clips} held-out clips of 64 px")
    print("| question | arm | steps | loss | exact | words |\n|---:|---|---:|---:|---:|---:|", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        shards = Path(folder) / "shards"
        shards.mkdir()
        chosen(latents, shards)
        if not any(shards.iterdir()):
            print(f"{latents} holds no shards of 64 px: sorairo train default --run runs/default --data-only")
            return
        train = partial(trained, latents=shards, empty=states[0, : int(lengths[0])], seconds=seconds)
        for index, arm in enumerate(arm for arm in ARMS if arm.question in questions):
            model, steps = train(arm, lists=Path(folder) / f"lists{index}")
            row = exam.scores(model)
            cells = " | ".join(f"{row[key]:.4f}" for key in ("loss", "exact", "words"))
            print(f"| {arm.question or ''} | {arm.name} | {steps} | {cells} |", flush=True)


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--latents", type=Path, default=Path("runs/latents"))
    ask.add_argument("--seconds", type=float, default=100.0)
    ask.add_argument("--clips", type=int, default=128)
    ask.add_argument("--questions", type=int, nargs="+", default=[0, 1, 2, 3, 4, 5])
    main(**vars(ask.parse_args()))
