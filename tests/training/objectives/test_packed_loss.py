"""The loss over clips of mixed shapes in one row."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sorairo.data.packs import MixedBatch
from sorairo.flow.path import interpolate
from sorairo.flow.times import draw_times
from sorairo.training.parallel.processes import ALONE
from sorairo.training.rng import torch_rng
from tests.training.parallel.ranks import diffusion, mixed_shards


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("mixed")
    mixed_shards(made)
    return made


@torch.no_grad()
def test_the_loss_is_the_mean_over_all_positions(folder: Path) -> None:
    objective = diffusion(folder, packed=True)
    objective.map_head = None
    batch = objective.batch(3)
    assert isinstance(batch, MixedBatch) and len(set(batch.shapes)) > 1
    objective.config = type(objective.config)(times=objective.config.times)
    loss, parts = objective.loss(batch, 3)
    generator = torch_rng(0, 3, 2)
    times = [draw_times(1, shape[0], objective.config.times, generator) for shape in batch.shapes]
    above, below = 0.0, 0.0
    for index, place in enumerate(batch.places):
        data = batch.latents[index][None].float()
        noise = torch.randn(data.shape[1:], generator=torch_rng(0, 3, (1 << 20) + place))[None]
        sigma, weight = times[place]
        length = batch.lengths[index : index + 1]
        said = objective.transformer(
            interpolate(data, noise, sigma), 1000 * sigma, batch.text[index : index + 1].float(), length
        )
        error = (said - (noise - data)).square().mean(1) * weight[..., None, None]  # 1 t h w
        above += float(error.sum())
        below += float(weight.sum()) * data[0, 0, 0].numel()
    assert float(loss) == pytest.approx(above / below, rel=1e-5) and not parts


@torch.no_grad()
def test_state_maps_and_counts(folder: Path) -> None:
    objective = diffusion(folder, packed=True)
    batch = objective.batch(0)
    loss, parts = objective.loss(batch, 0)
    assert parts.keys() == {"velocity", "maps"} and float(loss) > float(parts["velocity"]) > 0
    clips, tokens = objective.count(batch)
    assert clips == len(batch.shapes) and tokens == sum(t * h * w // 4 for t, h, w in batch.shapes)
    alone = sum(objective.flops(one) for one in _single(batch))
    assert objective.flops(batch) == pytest.approx(alone)


def _single(batch: MixedBatch) -> list[MixedBatch]:
    return [MixedBatch(**{**vars(batch), "latents": (clip,)}) for clip in batch.latents]


def test_shares_of_a_step_have_all_of_its_clips(folder: Path) -> None:
    objective = diffusion(folder, packed=True)
    whole = objective.batch(5)
    halves = [objective.batch(5, type(ALONE)(index=index, of=2)) for index in range(2)]
    assert sorted(place for half in halves for place in half.places) == sorted(whole.places)
    assert all(half.shapes == whole.shapes for half in halves)
