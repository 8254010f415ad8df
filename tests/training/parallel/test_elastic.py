"""A process of a run under torchrun is killed at a random step, again and again; the run recovers by itself each time.

KILLS=20 in the environment kills as many, which takes about 20 minutes of two cores.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sorairo.training.metrics import read_metrics

EVERY = 20
"""Steps from one kill to the next."""
ROOT = Path(__file__).parents[3]
# Behind -- torchrun leaves options alone; else it takes --run for its own --run-path.
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


def torchrun(log: Path, restarts: int, *arguments: object) -> subprocess.Popen[bytes]:
    """Start a run; what it says goes into a file, since a pipe that nobody empties would stop it after some kills."""
    command = [*TORCHRUN, "--max-restarts", str(restarts), "--rdzv-backend", "c10d"]
    command += ["--rdzv-endpoint", "127.0.0.1:0", "-m", "--", "sorairo", *map(str, arguments)]
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    with log.open("wb") as file:
        return subprocess.Popen(command, env=env, cwd=ROOT, stdout=file, stderr=subprocess.STDOUT)


def workers(run: Path) -> dict[int, int]:
    """The processes that train in a folder: rank -> number, read from the system's table.

    What they start themselves is none: it has their words and environment, and to kill it stops nothing.
    """
    found = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().split(b"\0")
            values = (folder / "environ").read_bytes().split(b"\0")
            parent = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
            above = Path(f"/proc/{parent}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if str(run).encode() in words and b"torch.distributed.run" in above:
            ranks = [int(value[5:]) for value in values if value.startswith(b"RANK=")]
            found |= {rank: int(folder.name) for rank in ranks}
    return found


def done(run: Path) -> int:
    """Steps in the log."""
    path = run / "metrics.jsonl"
    return len(read_metrics(path)) if path.exists() else 0


@pytest.mark.slow
@pytest.mark.parametrize("layout", [("--shard", 2), ()], ids=["sharded", "copies"])
def test_killed_at_random_steps_it_recovers(layout: tuple[object, ...], tmp_path: Path) -> None:
    kills, chance = int(os.environ.get("KILLS", 3)), random.Random(7)
    run, whole, steps = tmp_path / "run", tmp_path / "whole", EVERY * (kills + 1)
    log, dead, killed = tmp_path / "log", set[int](), list[int]()
    process = torchrun(log, kills, "train", "tiny", "--run", run, "--steps", steps, *layout)
    for kill in range(kills):
        began = time.monotonic()
        target, end = EVERY * kill + chance.randrange(3, EVERY - 2), time.monotonic() + 900
        while done(run) < target or len(now := workers(run)) < 2 or dead & set(now.values()):
            assert process.poll() is None, (kill, log.read_text()[-3000:])
            assert time.monotonic() < end, f"after {kill} kills it did not go on"
            time.sleep(0.1)
        print(f"{kill} of {kill} kills recovered, {time.monotonic() - began:.0f} s", flush=True)
        dead = set(now.values())
        killed.append(now[chance.randrange(2)])
        os.kill(killed[-1], signal.SIGKILL)
    assert process.wait(timeout=1200) == 0, log.read_text()[-3000:]
    said = [int(number) for number in re.findall(r"\(exitcode: -9\).*?\(?pid: (\d+)", log.read_text())]
    assert set(killed) <= set(said) and len(set(killed)) == kills, (killed, said)  # torchrun saw each of them
    print(f"{kills} of {kills} kills recovered", flush=True)
    process = torchrun(log, 0, "train", "tiny", "--run", whole, "--steps", steps, *layout)
    assert process.wait(timeout=1200) == 0, log.read_text()[-3000:]
    ours, theirs = (read_metrics(folder / "metrics.jsonl") for folder in (run, whole))
    assert [line["loss"] for line in ours] == [line["loss"] for line in theirs]
