"""Training of the upscaler: what crops are, what is exported, and that a few steps beat bicubic."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sorairo.data.shards import write_shard
from sorairo.training.loop import TrainConfig, train
from sorairo.training.objectives.upscaler import Pairs, UpscalerObjective, UpscalerObjectiveConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.types import UserError
from sorairo.upscale.apply import load_upscaler
from sorairo.upscale.network import Upscaler, UpscalerConfig, halved

CONFIG = UpscalerObjectiveConfig(crop=12, batch=8, held_out=2)


def moving_boxes(count: int, frames: int, side: int) -> torch.Tensor:
    """uint8 n t h w 3: a sharp box of some colour moves over a plain ground."""
    rng = np.random.default_rng(0)
    clips = np.empty((count, frames, side, side, 3), np.uint8)
    for clip in clips:
        clip[:] = rng.integers(30, 120, 3)
        colour, (x, y) = rng.integers(130, 230, 3), rng.integers(2, side // 2, 2)
        for t, frame in enumerate(clip):
            frame[y : y + side // 3, x + t : x + t + side // 3] = colour
    return torch.from_numpy(clips)


@pytest.fixture
def shards(tmp_path: Path) -> list[Path]:
    paths = []
    for split in ("train", "heldout"):
        frames = moving_boxes(6, frames=5, side=48)
        small = halved(frames)
        paths.append(tmp_path / f"{split}.safetensors")
        write_shard(paths[-1], {"frames": frames, "halves": small, "decoded": small // 2}, [{}] * 6)
    return paths


def objective(shards: list[Path], config: UpscalerObjectiveConfig = CONFIG) -> UpscalerObjective:
    torch.manual_seed(0)
    network = Upscaler(UpscalerConfig(width=16, blocks=1))
    return UpscalerObjective(
        network=network, config=config, train_shards=shards[:1], held_out_shards=shards[1:]
    )


def test_a_crop_is_the_half_of_its_large_one(shards: list[Path]) -> None:
    plain = UpscalerObjectiveConfig(crop=12, batch=8, decoded=0.0, alone=0.0, cut=0.0)
    pairs = Pairs(shards[:1], plain)
    small, large = pairs.batch(3)
    assert small.shape == (8, 9, 12, 12) and large.shape == (8, 3, 24, 24)
    assert torch.equal(halved(large.permute(0, 2, 3, 1)).permute(0, 3, 1, 2), small[:, 3:6])
    again = pairs.batch(3)
    assert torch.equal(small, again[0]) and torch.equal(large, again[1])
    assert not torch.equal(small, pairs.batch(4)[0])
    alone, _ = Pairs(shards[:1], UpscalerObjectiveConfig(crop=12, batch=8, alone=1.0)).batch(0)
    assert torch.equal(alone[:, :3], alone[:, 3:6]) and torch.equal(alone[:, 6:], alone[:, 3:6])
    with pytest.raises(UserError, match="no clips"):
        Pairs([], CONFIG)


def test_some_steps_beat_bicubic_and_the_export_is_the_network(shards: list[Path], tmp_path: Path) -> None:
    config = UpscalerObjectiveConfig(crop=12, batch=8, held_out=2, decoded=0.0)
    learning = objective(shards, config)
    settings = TrainConfig(
        steps=60,
        dtype="fp32",
        ema_decay=0.8,
        optim=OptimConfig(lr=3e-3, muon_lr=3e-3, adamw_names=("head", "tail")),
        schedule=Schedule(warmup=5),
        sample_every=60,
        tensorboard=False,
    )
    with torch.no_grad():
        before = learning.sample(tmp_path, 0)
    assert before["halves"] == pytest.approx(before["halves_bicubic"])
    train(learning, settings, tmp_path / "run")
    with torch.no_grad():
        scores = learning.sample(tmp_path, 60)
    assert scores["halves"] > scores["halves_bicubic"] + 0.4
    exported = load_upscaler(tmp_path / "run" / "export" / "x2.safetensors")
    assert exported.config == learning.network.config
    assert learning.flops(learning.batch(0)) > 0 and learning.count(learning.batch(0)) == (8, 8 * 24 * 24)
