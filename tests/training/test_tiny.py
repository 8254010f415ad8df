"""The tiny recipe through the command line: killed, continued, changed, decayed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from sorairo.training.metrics import read_metrics
from sorairo.training.parallel.placement import working_dtype
from sorairo.training.recipes import load_recipe
from sorairo.types import UserError

ROOT = Path(__file__).parents[2]
CODE = """
import typer, sys
from sorairo.cli.train import train
from sorairo.types import UserError
app = typer.Typer(pretty_exceptions_enable=False)
app.command()(train)
try:
    app(standalone_mode=True)
except UserError as error:
    print(error, file=sys.stderr)
    sys.exit(2)
"""


ENV = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1"}


def tiny(*arguments) -> subprocess.CompletedProcess:
    command = [sys.executable, "-c", CODE, "tiny", *map(str, arguments)]
    return subprocess.run(command, env=ENV, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def start(*arguments) -> subprocess.Popen:
    command = [sys.executable, "-c", CODE, "tiny", *map(str, arguments)]
    return subprocess.Popen(command, env=ENV, cwd=ROOT, stderr=subprocess.DEVNULL)


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_metrics(run / "metrics.jsonl")]


def steps_saved(run: Path) -> list[int]:
    return [int(path.name[5:]) for path in (run / "checkpoints").glob("step-*")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    run = tmp_path_factory.mktemp("tiny") / "whole"
    done = tiny("--run", run)
    assert done.returncode == 0, done.stderr
    return run


def test_it_learns(whole):
    curve = losses(whole)
    assert len(curve) == 150 and (whole / "export/transformer.safetensors").exists()
    assert sum(curve[-20:]) < 0.7 * sum(curve[:20])


def test_killed_and_continued_the_losses_are_bit_identical(whole, tmp_path):
    run = tmp_path / "cut"
    process = start("--run", run)
    for after in (15, 70):
        end = time.monotonic() + 90
        while max(steps_saved(run), default=0) < after:
            assert process.poll() is None and time.monotonic() < end
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process = start("--run", run)
    assert process.wait() == 0
    assert losses(run) == losses(whole)


def test_two_processes_learn_the_same(whole, tmp_path):
    """Shares are averaged to what one process computes of the whole batch, up to rounding; and it can be stopped."""
    run = tmp_path / "shared"
    process = start("--run", run, "--processes", 2)
    end = time.monotonic() + 120
    while max(steps_saved(run), default=0) < 10:
        assert process.poll() is None and time.monotonic() < end
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=90) == 128 + signal.SIGTERM
    assert not (run / "export").exists() and max(steps_saved(run)) == len(losses(run))
    assert tiny("--run", run, "--processes", 2, "--steps", 150).returncode == 0
    # Sums in another order: 3e-7 after 150 steps in float32; bf16 rounds each share's gradients for itself.
    rounding = 1e-5 if working_dtype("auto") == torch.float32 else 0.02
    assert losses(run)[:3] == pytest.approx(losses(whole)[:3], rel=min(rounding, 1e-3))
    assert losses(run) == pytest.approx(losses(whole), rel=rounding)


def test_a_changed_setting_and_a_decay(whole, tmp_path):
    settings = json.loads((whole / "settings.json").read_text())
    changed = {**settings, "objective": {**settings["objective"], "data": {"seed": 5}}}
    (whole / "settings.json").write_text(json.dumps(changed))
    refused = tiny("--run", whole, "--steps", 151)
    assert refused.returncode == 2 and "objective.data." in refused.stderr
    (whole / "settings.json").write_text(json.dumps(settings))

    before = {path: path.stat().st_mtime_ns for path in whole.rglob("*") if path.is_file()}
    to = whole.parent / "decayed"
    done = tiny("--run", whole, "--decay", 20, "--to", to)
    assert done.returncode == 0, done.stderr
    assert (to / "export/transformer.safetensors").exists()
    lines = read_metrics(to / "metrics.jsonl")
    assert [line["step"] for line in lines] == list(range(150, 170)) and lines[-1]["lr"] == 0
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert tiny("--run", to, "--export", to.parent / "as-it-is").returncode == 0  # whatever its schedule was
    assert (to.parent / "as-it-is/transformer.safetensors").exists()


def test_a_device_that_is_not_there_is_refused_before_any_work(tmp_path):
    refused = tiny("--run", tmp_path / "run", "--device", "cuda:99")
    assert refused.returncode == 2 and "no device 'cuda:99'" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_an_unknown_recipe_lists_the_known():
    with pytest.raises(UserError, match="tiny"):
        load_recipe("giant", ROOT / "recipes")


def test_a_recipe_without_captions_writes_none(tmp_path):
    refused = tiny("--run", tmp_path / "run", "--recaption")
    assert refused.returncode == 2 and "has no captions" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_run_may_begin_with_a_models_weights(tiny_folder, bert_source, tmp_path):
    first = tmp_path / "first"
    assert tiny("--run", first, "--from", tiny_folder, "--steps", 1).returncode == 0
    other = tmp_path / "other"
    assert tiny("--run", other, "--steps", 1).returncode == 0
    assert losses(first) != losses(other)
    refused = tiny("--run", tmp_path / "none", "--from", bert_source)
    assert refused.returncode == 2 and len(refused.stderr.strip().splitlines()) <= 2
