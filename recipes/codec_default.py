"""The codec of the default model: 17 frames of 96x96 become 48 channels of 5x6x6.

Command:   sorairo worlds render studio ... (pixel shards), then sorairo train recipes/codec_default.py --run RUN
Time:      about 40 minutes on two busy cores to a usable codec; it may be continued for as long as there is time
Expects:   RUN/../codec-pixels/train-*.safetensors and heldout-*.safetensors
"""

from __future__ import annotations

from pathlib import Path

import torch

from sorairo.codec.model import Codec
from sorairo.codec.presets import PRESETS
from sorairo.training.codec import CodecObjective, CodecObjectiveConfig
from sorairo.training.codec_data import CropShape
from sorairo.training.loop import TrainConfig
from sorairo.training.optim import OptimConfig
from sorairo.training.schedule import Schedule

SHAPES = (
    CropShape(frames=9, size=(64, 64), batch=6, weight=0.6),
    CropShape(frames=17, size=(64, 64), batch=3, weight=0.15),
    CropShape(frames=9, size=(96, 96), batch=3, weight=0.15),
    CropShape(frames=1, size=(96, 96), batch=10, weight=0.1),
)


def build(run_dir: Path) -> tuple[CodecObjective, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    pixels = run_dir.parent / "codec-pixels"
    objective = CodecObjective(
        codec=Codec(PRESETS["default"]),
        config=CodecObjectiveConfig(shapes=SHAPES),
        train_shards=sorted(pixels.glob("train-*.safetensors")),
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
        schedule=Schedule(warmup=50),
        sample_every=200,
        tensorboard=False,
    )
    return objective, config
