"""Clips of mixed sizes in one row: any division among processes gives one process's numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.training.parallel.ranks import (
    gradients,
    losses,
    mixed_grid,
    mixed_shards,
    mixed_team,
    on_ranks,
    run,
)
from tests.training.parallel.test_sharded import assert_same_tensors


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Mixed clips, and what one process makes of them (alone/)."""
    folder = tmp_path_factory.mktemp("mixed")
    mixed_shards(folder)
    gradients(folder, folder / "alone", packed=True)
    run(folder, folder / "alone", 20, packed=True)
    return folder


def test_two_processes_pack_as_one_does(clips: Path) -> None:
    """Gradients of a step whose row is split, and of one whose clips and weights are divided; losses of 20 steps."""
    on_ranks(2, mixed_team, clips)
    for way in ("context", "shard"):
        assert_same_tensors(clips / way / "grads.safetensors", clips / "alone" / "grads.safetensors")
    assert len(losses(clips / "alone")) == 20
    assert losses(clips / "run") == pytest.approx(losses(clips / "alone"), rel=1e-5)


@pytest.mark.slow
def test_four_processes_pack_as_one_does(clips: Path) -> None:
    on_ranks(4, mixed_grid, clips)
    assert_same_tensors(clips / "grid" / "grads.safetensors", clips / "alone" / "grads.safetensors")
    assert losses(clips / "grid-run") == pytest.approx(losses(clips / "alone"), rel=1e-5)
