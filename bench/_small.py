"""A small model of the studio for experiments of minutes: its clips, its objective and its scores.

1.2 million weights, clips of 17 frames whose short side is 64 pixels, a third each square, wide and tall. What it says
of larger models is a guess; every table that is made with it says so.
"""

from __future__ import annotations

import json
import logging
import math
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sorairo.checkpoints.folder import find_folder
from sorairo.codec.latent_space import LatentSpace
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.latents import Bucket, LatentPlan, make_latents
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import read_shard, write_shard
from sorairo.data.sources.worlds import Worlds
from sorairo.files import write_text
from sorairo.flow.path import interpolate
from sorairo.flow.times import TimesConfig
from sorairo.text.encoder import TextEncoder
from sorairo.training.loop import TrainConfig, Trainer
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.training.rng import torch_rng
from sorairo.training.warm_start import warm_start
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.transformer.presets import PRESETS

__all__ = [
    "CONFIG",
    "FURTHER",
    "SMALL",
    "Estimate",
    "errors",
    "load_average",
    "make_data",
    "mean_of",
    "objective_of",
    "text_encoder",
    "train_for",
]

log = logging.getLogger(__name__)
SIZES = ((64, 64), (96, 64), (64, 96))
LATENT_SPACE = Path(__file__).parents[1] / "recipes" / "latent_space.safetensors"
SMALL: TransformerConfig = replace(PRESETS["default"], layers=4, heads=2, hidden=384)
CONFIG = TrainConfig(
    dtype="fp32",
    compile=False,
    optim=OptimConfig(lr=2e-3, muon_lr=4e-3),
    schedule=Schedule(warmup=50),
    ema_decay=0.98,
    checkpoint_minutes=60,
    sample_every=0,
    tensorboard=False,
    threads=1,
)
FURTHER = replace(
    CONFIG, optim=OptimConfig(lr=2e-4, muon_lr=4e-4), schedule=Schedule(warmup=20), ema_decay=0.95
)
"""For a run that begins with the weights of a finished model."""
LEVELS = (0.3, 0.5, 0.7, 0.9)


def plan_of(first: int, shards: int, clips: int) -> LatentPlan:
    """Clips of the first circle, a third of each size."""
    return LatentPlan(
        first_seed=first,
        shards=shards,
        clips=clips,
        run=1,
        buckets=tuple(Bucket(size=size, frames=17, share=1 / len(SIZES)) for size in SIZES),
    )


def text_encoder() -> TextEncoder:
    return TextEncoder.load(find_folder("default"))


def make_data(folder: Path, shards: int = 16) -> None:
    """train/ of `shards` x 64 clips, held/ of 6 x 32 others, and square/: train/ with wide and tall clips cropped."""
    space = LatentSpace.load(LATENT_SPACE)
    encode, words = clip_encoder(space), words_encoder(text_encoder())
    source = Worlds.of("studio", fps=8.0, split="train", maps=False, workers=0)
    make_latents(plan_of(940_000, 6, 32), folder / "held", source=source, encode=encode, words=words)
    make_latents(plan_of(930_000, shards, 64), folder / "train", source=source, encode=encode, words=words)
    for path in sorted((folder / "train").glob("*.safetensors")):
        if not (folder / "square" / path.name).exists():
            shard = read_shard(path)
            cropped = {**shard.tensors, "latents": middle(shard["latents"])}
            write_shard(folder / "square" / path.name, cropped, shard.records, shard.info)


def middle(latents: Tensor) -> Tensor:
    """The square in the middle of (n c t h w): the latents are of blocks, so it is that of the pixels cropped."""
    h, w = latents.shape[-2:]
    side = min(h, w)
    top, left = (h - side) // 2, (w - side) // 2
    return latents[..., top : top + side, left : left + side].contiguous()


def objective_of(
    folder: Path,
    run: Path,
    loader: LoaderConfig,
    seed: int = 0,
    config: TransformerConfig = SMALL,
    begin: str = "",
) -> Diffusion:
    """The small model on a folder of shards; with the weights of the model `begin`, whose shape is `config`."""
    torch.manual_seed(seed)
    transformer = Transformer(config)
    transformer.init_weights()
    empty = text_encoder().encode([""])
    objective = Diffusion(
        transformer,
        Loader(folder, run / "lists", loader, empty.states[0, : int(empty.lengths[0])].float()),
        DiffusionConfig(seed=seed, times=TimesConfig(per_frame=0.0, known=0.0, shift=2.0), noise="clip"),
        sampler=lambda *_: {},
        exporter=lambda model, to: torch_save(model, to / "transformer.safetensors"),
    )
    if begin:
        warm_start(objective, begin)
    return objective


def torch_save(model: Transformer, path: Path) -> None:
    from safetensors.torch import save_file

    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, path)


def train_for(
    objective: Diffusion, run: Path, minutes: float, config: TrainConfig = CONFIG
) -> dict[str, float]:
    """Train for so many processor minutes of this process, then write the averaged weights (run/average).

    Returns steps, clips, tokens, TFLOP and minutes.
    """
    trainer = Trainer(objective, config, run)
    spent, began = {"steps": 0, "clips": 0, "tokens": 0, "tflop": 0.0}, time.process_time()
    losses: list[float] = []
    while time.process_time() - began < 60 * minutes:
        news = trainer.one(trainer.batch(trainer.step)).progress
        spent["steps"] += 1
        spent["clips"] += news.clips
        spent["tokens"] += news.tokens
        spent["tflop"] += news.flops / 1e12
        losses.append(news.loss)
        if spent["steps"] % 50 == 0:
            print(f"step {spent['steps']}: loss {np.mean(losses[-50:]):.3f}", file=sys.stderr, flush=True)
    trainer.export(run / "average")
    made = {**spent, "minutes": (time.process_time() - began) / 60, "loss": float(np.mean(losses[-50:]))}
    write_text(run / "spent.json", json.dumps(made, indent=1) + "\n")
    return made


def load_average(run: Path, config: TransformerConfig = SMALL) -> Transformer:
    """The weights that train_for wrote."""
    from safetensors.torch import load_file

    transformer = Transformer(config)
    transformer.load_state_dict(load_file(run / "average" / "transformer.safetensors"))
    return transformer.requires_grad_(False)


@torch.no_grad()
def errors(
    transformer: Transformer, shards: Iterable[Path], kind: str = "long", most: int = 64
) -> np.ndarray:
    """The mean squared error of the velocity of each clip at fixed noise, over LEVELS: (clips)."""
    made: list[float] = []
    for path in shards:
        shard = read_shard(path)
        data = shard["latents"][:most].float()  # n c t h w
        lengths = shard["text_lengths"][:most, ("long", "short", "paraphrase", "paraphrase2").index(kind)]
        text = shard[f"text_{kind}"][:most, : int(lengths.max())].float()
        noise = torch.stack(
            [torch.randn(clip.shape, generator=torch_rng(5, row, 8)) for row, clip in enumerate(data)]
        )
        total = torch.zeros(len(data))
        for sigma in LEVELS:
            noisy = interpolate(data, noise, sigma)
            said = transformer(noisy, torch.full((len(data),), 1000 * sigma), text, lengths)
            total += (said - (noise - data)).square().flatten(1).mean(1)
        made += (total / len(LEVELS)).tolist()
    return np.array(made)


@dataclass(frozen=True)
class Estimate:
    """A mean, and half of its 95% interval over clips."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ± {self.half:.4f}"


def mean_of(values: Sequence[float] | np.ndarray) -> Estimate:
    values = np.asarray(values, dtype=float)
    return Estimate(float(values.mean()), 1.96 * float(values.std(ddof=1)) / math.sqrt(len(values)))
