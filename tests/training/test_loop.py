import dataclasses
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sorairo.training import state
from sorairo.training.loop import TrainConfig, train
from sorairo.training.metrics import read_metrics
from sorairo.training.optim.schedule import Schedule
from sorairo.types import UserError
from tests.training.toy import Toy

CONFIG = TrainConfig(steps=12, sample_every=5, tensorboard=False)


def losses(run: Path) -> list[tuple[int, float]]:
    return [(line["step"], line["loss"]) for line in read_metrics(run / "metrics.jsonl") if "loss" in line]


def start(run: Path) -> subprocess.Popen:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, str(Path(__file__).parent / "toy.py"), str(run)], env=env)


def newest(run: Path) -> int:
    return max((int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")), default=0)


def wait_for(condition, process, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)


def test_killed_and_started_again_gives_the_same_losses(tmp_path):
    whole = start(tmp_path / "whole")
    process = start(tmp_path / "cut")
    for done in (20, 60):
        wait_for(lambda done=done: newest(tmp_path / "cut") > done, process)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start(tmp_path / "cut")
    assert process.wait() == 0 and whole.wait() == 0
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert len(losses(tmp_path / "cut")) == 120
    assert (tmp_path / "cut/export/READY").exists()
    assert len(list((tmp_path / "cut/checkpoints").iterdir())) == 2


def test_sigterm_saves_and_the_same_command_continues(tmp_path):
    process = start(tmp_path)
    wait_for(lambda: newest(tmp_path) > 0, process)  # it is in the middle of its steps
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0
    saved = state.latest_state(tmp_path / "checkpoints")
    assert saved is not None and saved.step == len(losses(tmp_path)) and not (tmp_path / "export").exists()


def test_losses_fall_and_samples_use_the_average(tmp_path):
    outcome = train(Toy(), dataclasses.replace(CONFIG, steps=200, schedule=Schedule(warmup=10)), tmp_path)
    assert (outcome.step, outcome.reason) == (200, "done")
    curve = [loss for _, loss in losses(tmp_path)]
    assert sum(curve[-20:]) < 0.6 * sum(curve[:20])
    assert (tmp_path / "samples/step-00000200/weight.txt").exists()
    scores = [line for line in read_metrics(tmp_path / "metrics.jsonl") if "score/sum" in line]
    assert len(scores) == 40


def test_a_changed_setting_is_named(tmp_path):
    train(Toy(), CONFIG, tmp_path)
    with pytest.raises(UserError, match=r"train\.seed = 0, now it is 3"):
        train(Toy(), dataclasses.replace(CONFIG, seed=3, steps=14), tmp_path)
    with pytest.raises(UserError, match=r"objective\.width = 32, now it is 48"):
        train(Toy(width=48), CONFIG, tmp_path)
    assert train(Toy(), dataclasses.replace(CONFIG, steps=14), tmp_path).step == 14
    with pytest.raises(UserError, match="another network"):
        toy = Toy()
        toy.net.append(torch.nn.Linear(16, 16))
        train(toy, CONFIG, tmp_path, accept_changes=True)


def test_a_full_disk_is_one_sentence_and_keeps_the_checkpoint(tmp_path, monkeypatch):
    train(Toy(), CONFIG, tmp_path)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(state, "save_file", full)
    with pytest.raises(UserError, match="No space is left"):
        train(Toy(), dataclasses.replace(CONFIG, steps=20), tmp_path)
    monkeypatch.undo()
    saved = state.latest_state(tmp_path / "checkpoints")
    assert saved is not None and saved.step == 12
    assert not [p for p in (tmp_path / "checkpoints").iterdir() if p.name.startswith(".")]


def test_a_run_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        train(Toy(), CONFIG, tmp_path / "file/run")


def test_a_damaged_checkpoint_is_passed_over(tmp_path, caplog):
    train(Toy(), CONFIG, tmp_path)
    train(Toy(), dataclasses.replace(CONFIG, steps=20), tmp_path)
    newest = tmp_path / "checkpoints/step-00000020/state.safetensors"
    newest.write_bytes(newest.read_bytes()[:100])
    with caplog.at_level(logging.WARNING):
        saved = state.latest_state(tmp_path / "checkpoints")
    assert saved is not None and saved.step == 12
    shutil.rmtree(tmp_path / "checkpoints/step-00000012")
    with pytest.raises(UserError, match="No checkpoint"):
        state.latest_state(tmp_path / "checkpoints")


def test_losses_that_are_not_finite_end_the_run(tmp_path):
    class Broken(Toy):
        def loss(self, batch, step, share):
            loss, parts = super().loss(batch, step, share)
            return loss * float("nan"), parts

    toy = Broken()
    before = toy.net[0].weight.detach().clone()
    with pytest.raises(UserError, match="not finite"):
        train(toy, dataclasses.replace(CONFIG, steps=50, dtype="fp32"), tmp_path)
    assert torch.equal(before, toy.net[0].weight)


def test_an_error_in_a_batch_reaches_the_caller(tmp_path):
    class Broken(Toy):
        def batch(self, step, share):
            if step == 3:
                raise UserError("no shards left")
            return super().batch(step, share)

    with pytest.raises(UserError, match="no shards left"):
        train(Broken(), CONFIG, tmp_path)


def test_hours_end_the_run(tmp_path):
    outcome = train(Toy(pause=0.01), dataclasses.replace(CONFIG, steps=None), tmp_path, hours=0.3 / 3600)
    assert outcome.reason == "done" and 0 < outcome.step < 40  # few steps where the machine is busy


def test_settings_are_json(tmp_path):
    train(Toy(), CONFIG, tmp_path)
    assert json.loads((tmp_path / "settings.json").read_text())["train"]["optim"]["name"] == "muon"


def test_too_little_disk_is_said_before_the_start(tmp_path, monkeypatch, caplog):
    def free(size):
        monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, size))

    free(2**20)
    with pytest.raises(UserError, match="no room for a checkpoint"):
        train(Toy(), CONFIG, tmp_path / "none")
    assert not (tmp_path / "none" / "metrics.jsonl").exists()
    size = sum(file.stat().st_size for file in (tmp_path / "none").rglob("*"))
    assert size < 10_000  # the settings alone
    free(2**20 + 30_000)  # one checkpoint of some 18 kB, not three
    train(Toy(), CONFIG, tmp_path / "one")
    assert sum("stops at a full disk" in record.message for record in caplog.records) == 1
    free(10**8)
    train(Toy(), CONFIG, tmp_path / "all")
    assert sum("stops at a full disk" in record.message for record in caplog.records) == 1
