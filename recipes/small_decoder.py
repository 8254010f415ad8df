"""A small decoder of the default model's latents: 0.9 M parameters, a quarter of the codec's time.

Command:   sorairo train small_decoder --run RUNS/small
Time:      about an hour on one core
Makes:     RUNS/codec-pixels, if the codec's own training has not (minutes), RUNS/own, RUNS/small;
           RUNS/small/export/decoder is what a checkpoint folder takes
Expects:   docs/codec.md has its PSNR beside the codec's
"""

from __future__ import annotations

import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType

import numpy as np
import torch

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.small import SmallDecoder, SmallDecoderConfig
from sorairo.data.shards import write_shard
from sorairo.generation.generate import samples
from sorairo.pixels import to_frames
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.codec import CodecObjectiveConfig
from sorairo.training.objectives.small_decoder import SmallDecoderObjective
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.worlds.palette import COLOURS, SHAPES

HERE = Path(__file__)
STEPS = 3000
OWN = 320  # clips that `fast` makes


def data(run_dir: Path, everything: bool = True) -> None:
    """The clips that the codec is trained on, and clips that `fast` makes."""
    codec_recipe().data(run_dir, everything)
    make_own(run_dir.parent / "own")


@torch.inference_mode()
def make_own(folder: Path) -> None:
    """Latents that `fast` makes of simple sentences, and the codec's frames of them; files that are there stay."""
    model = load_checkpoint("fast", "fp32")
    sentences = [
        f"A {size} {colour} {shape} {event}."
        for size in ("small", "large")
        for colour in COLOURS
        for shape in SHAPES
        for event in ("drops onto the floor and bounces", "rolls to the right", "slides to a stop")
    ]
    order = torch.randperm(len(sentences), generator=torch.Generator().manual_seed(0)).tolist()
    for first in range(0, OWN, 32):
        path = folder / f"own-{first:05d}.safetensors"
        if path.exists():
            continue
        latents: list[torch.Tensor] = []
        for seed in range(first, first + 32):
            ask = Ask(size=(96, 96), frames=17, seed=800_000_000 + seed)
            plan = text_to_video(sentences[order[seed % len(order)]], model.abilities, ask)
            steps: list[torch.Tensor] = []
            list(samples([plan], model, preview=lambda data, _, steps=steps: steps.append(data)))
            latents.append(steps[-1])
        frames = np.concatenate([to_frames(model.codec.decode(one)) for one in latents])  # n t h w 3
        made = torch.cat(latents).half().numpy()
        write_shard(path, {"frames": frames, "latents": made}, [{} for _ in latents], {"fps": 8.0})


def build(run_dir: Path) -> tuple[SmallDecoderObjective, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    pixels = run_dir.parent / "codec-pixels"
    space = LatentSpace.load(HERE.with_name("latent_space.safetensors"))
    small = SmallDecoder(SmallDecoderConfig())
    small.begin_as(space)
    objective = SmallDecoderObjective(
        codec=load_checkpoint("default", "fp32").codec,
        space=space,
        config=CodecObjectiveConfig(shapes=codec_recipe().SHAPES, noise_ramp=200),
        train_shards=sorted(pixels.glob("train-*.safetensors")),
        held_out_shards=sorted(pixels.glob("heldout-*.safetensors")),
        small=small,
        own_shards=sorted((run_dir.parent / "own").glob("own-*.safetensors")),
    )
    return objective, TrainConfig(
        steps=STEPS,
        ema_decay=0.995,
        optim=OptimConfig(
            lr=2e-3, muon_lr=3e-3, betas=(0.9, 0.98), momentum=0.9, adamw_names=("conv_in", "first", "after")
        ),
        schedule=Schedule(warmup=50, decay_from=STEPS // 2, decay_steps=STEPS // 2, shape="linear"),
        sample_every=500,
        tensorboard=False,
        compile=False,
    )


@cache
def codec_recipe() -> ModuleType:
    """The codec's recipe, whose clips and crops these are."""
    spec = importlib.util.spec_from_file_location("codec_default", HERE.with_name("codec_default.py"))
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
