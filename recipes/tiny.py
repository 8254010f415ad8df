"""The smallest whole run: a tiny transformer learns the latents of drifting squares, in seconds on one core.

Command:   sorairo train tiny --run runs/tiny
Time:      about 15 seconds
Expects:   the loss falls from about 2 to under 1; export/ holds the transformer
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file

from sorairo.data.latents import KINDS
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import write_shard
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

SHAPES = ((5, 4, 4), (5, 4, 6), (1, 4, 4))  # latent t h w
COLOURS = 6


def data(run_dir: Path, everything: bool = True) -> None:
    """Three shards of latents in which a square of one of six colours drifts across noise."""
    for index, (t, h, w) in enumerate(SHAPES):
        path = run_dir / "latents" / f"{index}.safetensors"
        if path.exists():
            continue
        generator = torch.Generator().manual_seed(index)
        n, config = 32, PRESETS["tiny"]
        latents = 0.3 * torch.randn(n, config.channels, t, h, w, generator=generator)
        colour = torch.randint(COLOURS, (n,), generator=generator)
        start = torch.randint(w, (n,), generator=generator)
        for clip in range(n):
            for frame in range(t):
                latents[clip, colour[clip], frame, 1:3, (start[clip] + frame) % w] = 3.0
        words = torch.randn(COLOURS, 3, config.text_dim, generator=torch.Generator().manual_seed(9))[colour]
        tensors = {f"text_{kind}": words.bfloat16() for kind in KINDS}
        tensors["text_lengths"] = torch.full((n, len(KINDS)), 3, dtype=torch.int32)
        write_shard(path, {"latents": latents.bfloat16(), **tensors}, [{"colour": int(c)} for c in colour])


def build(run_dir: Path) -> tuple[Diffusion, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    transformer = Transformer(PRESETS["tiny"])
    transformer.init_weights()
    empty = torch.zeros(1, transformer.config.text_dim)
    loader = Loader(
        run_dir / "latents", run_dir / "lists", LoaderConfig(tokens=160, refresh=20, word_cost=0.02), empty
    )
    objective = Diffusion(
        transformer,
        loader,
        DiffusionConfig(),
        sampler=lambda model, folder, step: {},
        exporter=lambda model, folder: save_file(model.state_dict(), folder / "transformer.safetensors"),
    )
    config = TrainConfig(
        steps=150,
        compile=False,
        optim=OptimConfig(muon_lr=5e-3, lr=5e-3),
        schedule=Schedule(warmup=10),
        ema_decay=0.98,
        checkpoint_minutes=0.01,
        sample_every=0,
        tensorboard=False,
        threads=1,
    )
    return objective, config
