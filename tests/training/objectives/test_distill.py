"""A student of few steps, on Wan's shapes at tiny size."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

import sorairo
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.flow.guidance import cfg
from sorairo.flow.path import data_at
from sorairo.flow.schedule import unipc_sigmas
from sorairo.flow.solvers import unipc
from sorairo.training.loop import TrainConfig, train
from sorairo.training.objectives.distill import Distill, DistillConfig
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.parallel.processes import Share
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

TINY = PRESETS["tiny"]
RECIPES = Path(__file__).parents[3] / "recipes"


@pytest.fixture(scope="module")
def latents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("few")
    runpy.run_path(str(RECIPES / "tiny.py"))["data"](folder)
    return folder / "latents"


def make(latents, lists, **config) -> Distill:
    torch.manual_seed(0)
    teacher = Transformer(TINY)
    torch.nn.init.normal_(teacher.head.project.weight, std=0.1)
    loader = Loader(
        latents, lists, LoaderConfig(tokens=80, word_cost=0.0, drop=0.0), torch.zeros(1, TINY.text_dim)
    )
    return Distill(teacher, loader, DistillConfig(levels=8, **config), lambda *_: {}, lambda *_: None)


@pytest.mark.parametrize("way", ["consistency", "dmd"])
def test_both_ways_teach_the_student_alone_and_shares_add_up(latents, tmp_path, way):
    objective = make(latents, tmp_path, way=way)
    batch = objective.batch(0)
    for step in range(3):
        torch.manual_seed(step)
        loss, parts = objective.loss(batch, step)
        loss.backward()
        assert all(torch.isfinite(part) for part in parts.values())
    for network in objective.models.values():
        assert network.get_parameter("blocks.0.feed_forward.up.weight").grad.abs().sum() > 0
    assert all(p.grad is None for p in objective.teacher.parameters())
    if way == "consistency":
        whole = objective.loss(batch, 5)[0]
        shares = [Share(index=index, of=2) for index in range(2)]
        halves = [objective.loss(objective.batch(0, share), 5, share)[0] for share in shares]
        assert torch.isclose(sum(halves) / 2, whole, rtol=1e-4)
    assert objective.flops(batch) > 0 and objective.settings()["distill"]["way"] == way


def test_a_student_comes_near_in_one_step_to_what_the_guided_teacher_makes_in_many(latents, tmp_path):
    objective = make(latents, tmp_path, guidance=2.0, known=0.0, shift=1.0)
    batch = objective.batch(0)
    text, lengths, empty = batch.text.float(), batch.lengths, torch.zeros_like(batch.text).float()
    noise = torch.randn(batch.latents.shape, generator=torch.Generator().manual_seed(1))

    @torch.no_grad()
    def velocity(x, sigma, network=objective.teacher, guidance=2.0):
        times = torch.full((len(x), x.shape[2]), 1000 * sigma)
        asked = network(x, times, text, lengths)
        return (
            asked
            if guidance == 1
            else cfg(asked, network(x, times, empty, torch.ones_like(lengths)), guidance)
        )

    want = unipc(velocity, noise, unipc_sigmas(8))

    def away() -> float:
        made = data_at(noise, velocity(noise, 1.0, objective.student, 1.0), 1.0)
        return float((made - want).square().mean().sqrt())

    before = away()
    named = [(name, p) for name, p in objective.student.named_parameters()]
    optimizer = Optimizer(named, OptimConfig(lr=2e-3, muon_lr=4e-3), torch.float32)
    for step in range(120):
        loss, _ = objective.loss(objective.batch(step), step)
        loss.backward()
        optimizer.step(1 - step / 120)
    assert away() < 0.6 * before


def test_a_student_with_guidance_to_drop_is_a_users_error(latents, tmp_path):
    teacher = Transformer(TINY)
    loader = Loader(latents, tmp_path, LoaderConfig(drop=0.1), torch.zeros(1, TINY.text_dim))
    with pytest.raises(UserError, match="drop=0"):
        Distill(teacher, loader, DistillConfig(), lambda *_: {}, lambda *_: None)
    with pytest.raises(UserError, match="fall"):
        DistillConfig(times=(500, 1000))
    with pytest.raises(UserError, match="up to 1000"):
        DistillConfig(times=(1200, 500))


def test_the_recipes_student_is_a_model_that_is_asked_at_its_own_times(tiny_folder, tmp_path):
    write = runpy.run_path(str(RECIPES / "few_steps.py"))["write_model"]
    write(str(tiny_folder), sorairo.load(tiny_folder, "fp32").transformer, tmp_path / "few")
    model = sorairo.load(tmp_path / "few", "fp32")
    assert model.times == (1000, 900, 750, 500)
    clip = model.generate("a red ball drops", size=(64, 64), frames=9)
    assert len(clip.video) == 9
    with pytest.raises(UserError):
        model.generate("a red ball drops", size=(64, 64), frames=9, steps=16)


def test_the_loop_trains_student_and_critic_and_exports_the_student(latents, tmp_path):
    objective = make(latents, tmp_path / "lists", way="dmd")
    made = []
    objective._exporter = lambda student, folder: made.append(student)
    config = TrainConfig(steps=2, sample_every=0, tensorboard=False, compile=False, threads=1)
    train(objective, config, tmp_path / "run")
    assert made == [objective.student]
    assert not torch.equal(
        objective.student.blocks[0].feed_forward.up.weight, objective.teacher.blocks[0].feed_forward.up.weight
    )
