"""Processes that torchrun starts make one clip together, and the leading one writes it.

Compared as a PNG sheet of all frames: x264 makes differences of up to 8 out of one level.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "--"]


@pytest.mark.slow
def test_a_clip_of_two_processes_has_the_frames_of_one(tiny_folder: Path, tmp_path: Path) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p), "OMP_NUM_THREADS": "1"}
    env["GLOO_SOCKET_IFNAME"] = "lo"
    shared = [
        "sorairo",
        "generate",
        "A red ball.",
        "--model",
        str(tiny_folder),
        "--seed",
        "3",
        "--dtype",
        "fp32",
    ]
    frames = []
    for name, before in (("one.png", [sys.executable, "-m"]), ("two.png", TORCHRUN)):
        done = subprocess.run(
            [*before, *shared, "-o", str(tmp_path / name)], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        with Image.open(tmp_path / name) as file:
            frames.append(np.asarray(file.convert("RGB")))
    apart = np.abs(frames[0].astype(int) - frames[1])
    assert apart.max() <= 1 and (apart > 0).mean() < 1e-3  # two of 87,360 were, by rounding
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.png", "two.png"]
