"""Any division of batches, weights and clips among processes gives one process's numbers."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from sorairo.training.loop import Trainer
from sorairo.training.parallel.processes import Team
from sorairo.training.state import latest_state
from sorairo.types import UserError
from tests.training.parallel.ranks import (
    CONFIG,
    diffusion,
    gradients,
    losses,
    on_ranks,
    run,
    shards_of_clips,
    small_team,
    velocity,
)

LAYOUTS = {
    "copies": (2, {}),
    "sharded": (2, {"shard": 2}),
    "split clips": (2, {"context": 2}),
    "sharded copies": (4, {"shard": 2}),
    "sharded and split": (4, {"shard": 2, "context": 2}),
    "split in four": (4, {"context": 4}),
}


def assert_same_tensors(found: Path, wanted: Path, rtol: float = 1e-5) -> None:
    """To rtol of each tensor's norm."""
    ours, theirs = load_file(found), load_file(wanted)
    assert ours.keys() == theirs.keys() and ours
    for name, value in theirs.items():
        error = float((ours[name] - value).norm() / value.norm().clamp_min(1e-12))
        assert error < rtol, (name, error)


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    shards_of_clips(folder)
    return folder


def test_two_processes_compute_what_one_does(clips: Path) -> None:
    """Clips split and weights sharded: gradients, losses, a sharded checkpoint, the export and a clip's velocity."""
    on_ranks(2, small_team, clips)
    alone = clips / "alone"
    gradients(clips, alone)
    run(clips, alone, 4)
    for way in ("context", "shard"):
        assert_same_tensors(clips / way / "grads.safetensors", alone / "grads.safetensors")
    assert losses(clips / "run") == pytest.approx(losses(alone), rel=1e-5)
    exported = "export/transformer.safetensors"
    assert_same_tensors(clips / "run" / exported, alone / exported)
    saved = clips / "run/checkpoints/step-00000004"
    assert sorted(path.name for path in saved.iterdir()) == [
        "state-00001-of-00002.safetensors",
        "state-00002-of-00002.safetensors",
        "state.json",
    ]
    together = load_file(clips / "velocity.safetensors")["velocity"]
    velocity(clips / "velocity.safetensors")
    torch.testing.assert_close(together, load_file(clips / "velocity.safetensors")["velocity"])

    # One process reads what two have written, and a copy without one of the files is passed over.
    run(clips, clips / "run", 6)
    run(clips, alone, 6)
    assert losses(clips / "run") == pytest.approx(losses(alone), rel=1e-5)
    (saved / "state-00002-of-00002.safetensors").unlink()
    shutil.rmtree(clips / "run/checkpoints/step-00000006")
    with pytest.raises(UserError, match="No checkpoint"):
        latest_state(clips / "run/checkpoints")


def test_what_cannot_be_divided_is_one_sentence(clips: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="1 processes cannot be divided into groups of 2 x 1"):
        Team(shard=2)
    with pytest.raises(UserError, match="groups of 0"):
        Team(shard=0)
    with pytest.raises(UserError, match="cannot be divided"):
        Trainer(diffusion(clips), CONFIG.__class__(context=3), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_twenty_steps_are_those_of_one_process(layout: str, clips: Path, tmp_path: Path) -> None:
    count, settings = LAYOUTS[layout]
    alone = clips / "alone-20"
    if not (alone / "export").exists():
        gradients(clips, alone)
        run(clips, alone, 20)
    on_ranks(count, gradients_and_run, clips, tmp_path / "run", settings)
    assert_same_tensors(tmp_path / "run/grads.safetensors", alone / "grads.safetensors")
    assert losses(tmp_path / "run") == pytest.approx(losses(alone), rel=1e-5)
    exported = "export/transformer.safetensors"
    assert_same_tensors(tmp_path / "run" / exported, alone / exported, rtol=1e-4)


def gradients_and_run(folder: Path, run_dir: Path, settings: dict[str, int]) -> None:
    gradients(folder, run_dir, **settings)
    run(folder, run_dir, 20, **settings)


@pytest.mark.slow
def test_saved_on_four_continued_on_four_two_and_one(clips: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    four = {"shard": 2, "context": 2}
    on_ranks(4, continued, clips, whole, 20, four)
    on_ranks(4, continued, clips, cut, 10, four)
    for count, settings in ((4, four), (2, {"shard": 2}), (1, {})):
        again = tmp_path / f"on-{count}"
        shutil.copytree(cut, again)
        if count > 1:
            on_ranks(count, continued, clips, again, 20, settings)
        else:
            continued(clips, again, 20, settings)
        if count == 4:
            assert losses(again) == losses(whole)
            for index in range(1, 5):
                name = f"checkpoints/step-00000020/state-0000{index}-of-00004.safetensors"
                ours, theirs = load_file(again / name), load_file(whole / name)
                assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
        assert losses(again) == pytest.approx(losses(whole), rel=1e-5)


def continued(folder: Path, run_dir: Path, steps: int, settings: dict[str, int]) -> None:
    run(folder, run_dir, steps, **settings)
