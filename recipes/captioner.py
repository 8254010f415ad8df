"""The captioner of the simulated worlds: from a clip's latents to a subject, then to everything that there is to say.

Command:   sorairo train captioner --run runs/captioner/run
Needs:     pip install "sorairo[worlds,train]"
Makes:     runs/captioner/latents, runs/captioner/run; export/captioner.safetensors is what `sorairo data build
           --caption-with` takes, and what ships as src/sorairo/data/captions/weights/worlds.safetensors
Time:      about 20 minutes of one core, and as long to render the clips
Expects:   bench/captioner.py has the scores (docs/data.md)
"""

from __future__ import annotations

import os
from pathlib import Path

import torch

from sorairo.checkpoints.folder import find_folder
from sorairo.codec.latent_space import LatentSpace
from sorairo.data.captions.network import CaptionerConfig, CaptionerNetwork, words_of
from sorairo.data.captions.trained import save_captioner
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.latents import Bucket, LatentPlan, make_latents
from sorairo.data.sources.worlds import Worlds
from sorairo.text.encoder import TextEncoder
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.captioning import Captioning, CaptioningConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.worlds.captions import vocabulary
from sorairo.worlds.circles import CIRCLES

STEPS = 700
SPACE = Path(__file__).with_name("latent_space.safetensors")
PLAN = LatentPlan(
    first_seed=700_000,
    maps=True,
    shards=60,
    clips=64,
    run=2,
    buckets=tuple(
        Bucket(size=size, frames=17, share=share, circle=circle)
        for circle, part in ((0, 0.4), (1, 0.6))
        for size, share in (((64, 64), 0.75 * part), ((96, 96), 0.25 * part))
    ),
)


def data(run_dir: Path, everything: bool = True) -> None:
    """Render and encode clips of the first two circles, unless the folder has some already."""
    folder = run_dir.parent / "latents"
    if len(list(folder.glob("*.safetensors"))) >= PLAN.shards:
        return
    make_latents(
        PLAN,
        folder,
        source=Worlds.of(
            "studio", fps=PLAN.fps, split="train", maps=True, workers=max(1, (os.cpu_count() or 2) - 1)
        ),
        encode=clip_encoder(LatentSpace.load(SPACE)),
        words=words_encoder(TextEncoder.load(find_folder("default"))),
    )


def build(run_dir: Path) -> tuple[Captioning, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    space = LatentSpace.load(SPACE)
    words = {word for circle in CIRCLES[:2] for word in vocabulary(circle)} | set(
        words_of("., left right away")
    )
    network = CaptionerNetwork(CaptionerConfig(words=tuple(sorted(words))))
    objective = Captioning(
        network,
        run_dir.parent / "latents",
        run_dir / "shards.json",
        CaptioningConfig(),
        exporter=lambda trained, folder: save_captioner(trained, space, folder / "captioner.safetensors"),
    )
    tail = STEPS // 4
    config = TrainConfig(
        steps=STEPS,
        dtype="fp32",
        compile=False,
        optim=OptimConfig(name="adamw", lr=1.5e-3),
        schedule=Schedule(warmup=50, decay_from=STEPS - tail, decay_steps=tail),
        ema_decay=0.98,
        checkpoint_minutes=1,
        sample_every=250,
        threads=1,
    )
    return objective, config
