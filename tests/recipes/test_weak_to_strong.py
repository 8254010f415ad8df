"""Weak to strong: what the supervisor and the students see, a student of low rank, and runs that go on."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from recipes import weak_to_strong as recipe
from recipes import weak_to_strong_tune as low_rank
from sorairo.evaluation.supervision import balanced
from sorairo.transformer.model import Transformer, TransformerConfig

EMPTY = torch.zeros(1, 1, 24)


@pytest.fixture
def model() -> Transformer:
    torch.manual_seed(0)
    config = TransformerConfig(
        channels=4, layers=6, heads=2, head_dim=12, hidden=32, text_dim=24, text_len=4, freq_dim=16
    )
    made = Transformer(config)
    made.init_weights()
    recipe.randomise(made)
    return made


def clips(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Latents (n c t h w) in which a spot moves to the left or to the right, and which of the two (n)."""
    random = torch.Generator().manual_seed(seed)
    latents, left = torch.zeros(count, 4, 5, 8, 8), (torch.rand(count, generator=random) > 0.5).float()
    for clip, goes_left in zip(latents, left.tolist(), strict=True):
        row = int(torch.randint(0, 6, (1,), generator=random))
        for moment in range(5):
            place = 6 - moment if goes_left else moment
            clip[:, moment, row : row + 2, place : place + 2] = 3.0
    return latents, left


def test_the_supervisor_sees_one_small_frame_and_its_moment() -> None:
    frames = torch.zeros(recipe.PARTS[1].shards * recipe.SHARD, 1, 64, 64, 3, dtype=torch.uint8)
    frames[:, :, :2, :2] = 200
    seen = recipe.glimpses(1, frames)
    assert seen.shape == (len(frames), 1, 32, 32, 4) and seen.dtype == torch.uint8
    assert (seen[:, :, 0, 0, :3] == 200).all() and not seen[:, :, 1:, 1:, :3].any()
    moments = recipe.moments_of(recipe.first_seed(1, 0), 1)[:, 0]
    assert np.array_equal(seen[: recipe.SHARD, 0, 5, 5, 3].numpy(), (moments * 255 / 16).astype(np.uint8))


def test_a_summary_weighs_tokens_that_move_and_knows_no_places() -> None:
    tokens = torch.randn(2, 9, 16, 8)
    places = torch.randperm(16)
    assert torch.allclose(recipe.summary(tokens), recipe.summary(tokens[:, :, places]), atol=1e-5)
    still = torch.randn(1, 1, 16, 8).expand(1, 9, 16, 8).clone()
    still[0, :, 3] += torch.linspace(-20, 20, 9)[:, None]
    first, last = recipe.summary(still)[0, 2:]
    assert last.mean() - first.mean() > 10  # the token that changes decides


def test_features_are_those_of_the_blocks(model: Transformer) -> None:
    latents, _ = clips(3, 0)
    kept: list[Tensor] = []
    for _, seen in recipe.watched(model, latents, 1, EMPTY, (1, 3), lambda tokens: tokens):
        kept += seen
    assert [one.shape for one in kept] == [(3, 5, 16, 24)] * 2
    assert torch.allclose(
        low_rank.below(model, latents, recipe.SIGMA, 1, EMPTY),
        watched_behind(model, latents, low_rank.START - 1).half(),
        atol=2e-2,
    )


def watched_behind(model: Transformer, latents: Tensor, block: int) -> Tensor:
    found = recipe.watched(model, latents, 1, EMPTY, (block,), lambda tokens: tokens)
    return torch.cat([seen[0] for _, seen in found])


def test_a_student_of_low_rank_learns_labels(model: Transformer) -> None:
    (latents, left), (others, truth) = clips(60, 1), clips(40, 2)
    tokens, new = (low_rank.below(model, part, 0.1, 1, EMPTY) for part in (latents, others))
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    student = low_rank.Student(model, recipe.summary, EMPTY, 0.1, rank=4, seed=0)
    low_rank.tuned(student, tokens, left, low_rank.Settings(epochs=4, batch=12, head_rate=0.1), seed=0)
    assert balanced(low_rank.said(student, new), truth) > 0.8
    after = dict(model.named_parameters())
    assert all(torch.equal(after[name], value) for name, value in before.items())  # weights stay
    assert any("lora_up" in name and value.abs().sum() > 0 for name, value in after.items())


def test_a_fitted_reader_knows_before_anything_is_trained(model: Transformer) -> None:
    (latents, left), (others, truth) = clips(60, 1), clips(40, 2)
    tokens, new = (low_rank.below(model, part, 0.1, 1, EMPTY) for part in (latents, others))
    student = low_rank.Student(model, recipe.summary, EMPTY, 0.1, rank=4, seed=0)
    low_rank.tuned(student, tokens, left, low_rank.Settings(epochs=0, fitted=True), seed=0)
    assert balanced(low_rank.said(student, new), truth) > 0.8


def test_a_seed_that_was_finished_is_not_run_again(tmp_path: Path) -> None:
    (tmp_path / "seed-7.json").write_text(json.dumps({"goes left|test|trained": {}}))
    assert recipe.of_seed(tmp_path, {}, 7) == {"goes left|test|trained": {}}
