"""A student on its teacher's paths, at tiny size: the targets, known frames, shares, and the recipe's folder."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import torch

from sorairo.data.loader import Loader, LoaderConfig
from sorairo.flow.solvers import euler
from sorairo.training.loop import TrainConfig, train
from sorairo.training.objectives.paths import PathsConfig, PathStudent, guided_path, make_paths
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.parallel.processes import Share
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

TINY = PRESETS["tiny"]
RECIPES = Path(__file__).parents[3] / "recipes"
CONFIG = PathsConfig(steps=2, per_step=3, shift=2.0, known=0.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Transformer]:
    folder = tmp_path_factory.mktemp("paths")
    runpy.run_path(str(RECIPES / "tiny.py"))["data"](folder)
    torch.manual_seed(0)
    teacher = Transformer(TINY)
    torch.nn.init.normal_(teacher.head.project.weight, std=0.1)
    loader = Loader(
        folder / "latents",
        folder / "lists",
        LoaderConfig(tokens=80, word_cost=0.0, drop=0.0),
        torch.zeros(1, TINY.text_dim),
    )
    assert make_paths(folder / "paths", 4, teacher, loader, CONFIG) == 4
    assert make_paths(folder / "paths", 5, teacher, loader, CONFIG) == 1  # those that are there stay
    return folder / "paths", teacher


def student(made: tuple[Path, Transformer], network: Transformer | None = None) -> PathStudent:
    return PathStudent(network or made[1], made[0], CONFIG, lambda *_: {}, lambda *_: None)


def test_following_the_targets_from_level_to_level_ends_where_the_teacher_did(
    made: tuple[Path, Transformer],
) -> None:
    _, teacher = made
    torch.manual_seed(1)
    data, noise = torch.randn(2, TINY.channels, 3, 4, 4), torch.randn(2, TINY.channels, 3, 4, 4)
    given = torch.tensor([[True, False, False], [False, False, False]])
    words = torch.randn(2, 5, TINY.text_dim), torch.tensor([5, 3])
    x = guided_path(teacher, data, noise, given, words, words, CONFIG)
    assert x.shape == (2, 3, TINY.channels, 3, 4, 4) and torch.equal(x[:, 0], noise)
    sigmas = CONFIG.sigmas
    steps = iter([(x[:, k + 1] - x[:, k]) / (sigmas[k + 1] - sigmas[k]) for k in range(2)])
    assert torch.allclose(euler(lambda *_: next(steps), noise, sigmas), x[:, -1], atol=1e-5)


def test_batches_are_of_the_step_alone_and_shares_add_up(made: tuple[Path, Transformer]) -> None:
    one = student(made)
    batch = one.batch(3)
    assert torch.equal(batch.here, one.batch(3).here) and batch.total == len(batch.here)
    assert (batch.time[batch.free == 0] == 0).all() and (batch.time[batch.free == 1] > 0).all()
    whole = one.loss(batch, 3)[0]
    shares = [Share(index=index, of=2) for index in range(2)]
    halves = [one.loss(one.batch(3, share), 3, share)[0] for share in shares]
    assert torch.isclose(torch.stack(halves).mean(), whole, rtol=1e-4)
    assert one.flops(batch) > 0 and one.count(batch)[0] == len(batch.here)


def test_it_learns_the_paths(made: tuple[Path, Transformer], tmp_path: Path) -> None:
    torch.manual_seed(5)
    one = student(made, Transformer(TINY))
    first = float(torch.stack([one.loss(one.batch(step), step)[0] for step in range(6)]).mean().detach())
    config = TrainConfig(
        steps=40,
        optim=OptimConfig(lr=3e-3, muon_lr=6e-3),
        compile=False,
        sample_every=0,
        tensorboard=False,
        device="cpu",
        dtype="fp32",
    )
    train(one, config, tmp_path / "run")
    last = float(torch.stack([one.loss(one.batch(step), step)[0] for step in range(6)]).mean().detach())
    assert last < 0.8 * first


def test_without_paths_it_says_what_makes_them(tmp_path: Path) -> None:
    one = PathStudent(Transformer(TINY), tmp_path, CONFIG, lambda *_: {}, lambda *_: None)
    with pytest.raises(UserError, match="--data-only"):
        one.batch(0)
    with pytest.raises(UserError, match="at least one step"):
        PathsConfig(steps=0)
