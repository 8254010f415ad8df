"""The codec of the default model: 17 frames of 96x96 become 24 channels of 9x12x12.

Command:   sorairo train codec_default --run RUNS/codec
Time:      seconds for the latent space and the encoder, which have a closed form; the decoder trains for as long as
           there is time, about 20 minutes on one core for 2,600 steps; judge it after the decay
Makes:     RUNS/codec-pixels (2,300 clips of the world, two minutes on two cores), RUNS/codec
Expects:   33 dB on held-out clips of 96 px of the first circle, 31 dB on those of the whole world
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.model import Codec
from sorairo.codec.presets import PRESETS
from sorairo.data.shards import write_shard
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.codec import CodecObjective, CodecObjectiveConfig
from sorairo.training.objectives.codec_data import Crops, CropShape, as_model_video
from sorairo.training.objectives.codec_start import fit_encoder
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.worlds import get_world, render_clips

CLIPS = (  # of the first circle, which the default model knows best, and of the whole world
    ("train", 0, (128, 128), range(600_000_000, 600_000_500)),
    ("train", 3, (128, 128), range(610_000_000, 610_000_600)),
    ("train", 3, (96, 96), range(620_000_000, 620_000_500)),
    ("train", 0, (96, 96), range(630_000_000, 630_000_500)),
    ("heldout", 3, (128, 128), range(700_000_000, 700_000_100)),
    ("heldout", 0, (128, 128), range(710_000_000, 710_000_100)),
)
SHARD = 100  # clips in a file
SHAPES = (
    CropShape(frames=9, size=(64, 64), batch=6, weight=0.7),
    CropShape(frames=9, size=(96, 96), batch=3, weight=0.2),
    CropShape(frames=1, size=(96, 96), batch=16, weight=0.1),
)


def data(run_dir: Path, everything: bool = True) -> None:
    """Render the clips that are missing."""
    world, workers = get_world("studio"), os.cpu_count() or 1
    for split, circle, size, seeds in CLIPS:
        for first in seeds[::SHARD]:
            path = run_dir.parent / "codec-pixels" / f"{split}-{circle}-{size[0]}px-{first}.safetensors"
            if path.exists():
                continue
            some = range(first, min(first + SHARD, seeds.stop))
            facts = {"size": size, "frames": 17, "fps": 8.0, "circle": circle, "split": split}
            clips = list(render_clips(world, some, workers=workers, **facts))
            frames = np.stack([clip.video.frames for clip in clips])  # n t h w 3
            write_shard(path, {"frames": frames}, [{"seed": clip.seed} for clip in clips], {"fps": 8.0})


def build(run_dir: Path) -> tuple[CodecObjective, TrainConfig]:
    """The objective and the loop's settings."""
    pixels = run_dir.parent / "codec-pixels"
    shards = sorted(pixels.glob("train-*.safetensors"))
    space = latent_space(Path(__file__).with_name("latent_space.safetensors"), shards)
    objective = CodecObjective(
        codec=start(run_dir / "start.safetensors", space, shards),
        space=space,
        config=CodecObjectiveConfig(shapes=SHAPES),
        train_shards=shards,
        held_out_shards=sorted(pixels.glob("heldout-*.safetensors")),
    )
    config = TrainConfig(
        ema_decay=0.995,
        optim=OptimConfig(
            lr=2e-3,
            muon_lr=3e-3,
            betas=(0.9, 0.98),
            momentum=0.9,
            adamw_names=("conv_in", "conv_out", "quant"),
        ),
        schedule=Schedule(warmup=50, decay_from=1300, decay_steps=1300, shape="linear"),
        sample_every=200,
        tensorboard=False,
    )
    return objective, config


def latent_space(path: Path, shards: list[Path]) -> LatentSpace:
    """The space that latents are made in, fitted once: what is trained on it depends on it."""
    if not path.exists():
        LatentSpace.fit(crops(shards, 60)).save(path)
    return LatentSpace.load(path)


def start(path: Path, space: LatentSpace, shards: list[Path]) -> Codec:
    """The codec before training, its encoder fitted; kept, since a resumed run has to begin with the same."""
    torch.manual_seed(0)
    codec = Codec(PRESETS["default"])
    if path.exists():
        codec.load_state_dict(load_file(path))
        return codec
    codec.init_weights()
    fit_encoder(codec, space, torch.cat(list(crops(shards, 18))))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({name: value.contiguous() for name, value in codec.state_dict().items()}, path)
    return codec


def crops(shards: list[Path], batches: int) -> Iterator[Tensor]:
    """Some training crops, b 3 t h w in [-1, 1]."""
    source = Crops(shards, (CropShape(frames=9, size=(64, 64), batch=8, weight=1),), 0)
    for step in range(batches):
        yield as_model_video(source.batch(step), torch.float32)
