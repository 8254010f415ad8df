"""The captioner learns words from clips, goes on where it was stopped, and writes the file that captions."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sorairo.codec.latent_space import LatentSpace
from sorairo.data.captions.network import CaptionerConfig, CaptionerNetwork, words_of
from sorairo.data.captions.trained import Trained, save_captioner
from sorairo.data.maps import KINDS_MAPPED
from sorairo.data.shards import write_shard
from sorairo.training.loop import TrainConfig, train
from sorairo.training.metrics import read_metrics
from sorairo.training.objectives.captioning import Captioning, CaptioningConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.types import UserError

COLOURS = ("red", "green", "blue")
SPACE = Path(__file__).parents[3] / "recipes" / "latent_space.safetensors"
CONFIG = TrainConfig(
    steps=80,
    dtype="fp32",
    compile=False,
    tensorboard=False,
    sample_every=80,
    threads=1,
    ema_decay=0.9,
    optim=OptimConfig(name="adamw", lr=1e-2),
    schedule=Schedule(warmup=5),
)


def shards(folder: Path, count: int = 2) -> None:
    """Clips of one colour each: a channel is high, and the words say which."""
    for index in range(count):
        generator = torch.Generator().manual_seed(index)
        colour = torch.randint(len(COLOURS), (24,), generator=generator)
        latents = 0.1 * torch.randn(24, 24, 3, 4, 4, generator=generator)
        latents[torch.arange(24), colour] += 2
        records = [
            {
                "captions": {
                    "short": f"a {COLOURS[c]} ball",
                    "long": f"A large {COLOURS[c]} ball rolls. It is {COLOURS[c]}.",
                }
            }
            for c in colour.tolist()
        ]
        there = torch.zeros(24, len(KINDS_MAPPED), 3, 4, 4, dtype=torch.uint8)
        write_shard(folder / f"{index}.safetensors", {"latents": latents.bfloat16(), "map": there}, records)


def objective(folder: Path, run: Path) -> Captioning:
    torch.manual_seed(0)
    words = tuple(sorted({*COLOURS, *words_of("a large ball rolls. it is")}))
    network = CaptionerNetwork(
        CaptionerConfig(words=words, width=32, heads=2, hidden=32, layers=1, longest=16, pace=1)
    )
    space = LatentSpace.load(SPACE)
    return Captioning(
        network,
        folder,
        run / "shards.json",
        CaptioningConfig(batch=16, held=1),
        exporter=lambda made, to: save_captioner(made, space, to / "captioner.safetensors"),
    )


def test_it_learns_and_goes_on_where_it_was_stopped(tmp_path: Path) -> None:
    shards(tmp_path / "clips")
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    train(objective(tmp_path / "clips", whole), CONFIG, whole)
    train(objective(tmp_path / "clips", cut), replace(CONFIG, steps=30), cut)
    shards(tmp_path / "clips", 4)  # clips that come later are not of this run
    train(objective(tmp_path / "clips", cut), CONFIG, cut)
    lines = [read_metrics(run / "metrics.jsonl") for run in (whole, cut)]
    losses = [[line["loss"] for line in one if "loss" in line] for one in lines]
    assert losses[0] == losses[1]
    assert next(line["score/right words"] for line in lines[0] if "score/right words" in line) > 0.9
    captioner = Trained(cut / "export" / "captioner.safetensors")
    shown = objective(tmp_path / "clips", cut)
    colours = [record["captions"]["short"].split()[1] for record in shown.held[0].records[:6]]
    said = captioner.of(shown.held[0]["latents"][:6])
    assert (
        sum(colour in both[0] and colour in both[1] for colour, both in zip(colours, said, strict=True)) >= 5
    )
    assert "ball" in (whole / "samples" / "step-00000080" / "captions.txt").read_text()


def test_too_few_shards_are_one_sentence(tmp_path: Path) -> None:
    shards(tmp_path / "clips", 1)
    with pytest.raises(UserError, match="learns from 2 or more"):
        objective(tmp_path / "clips", tmp_path)
