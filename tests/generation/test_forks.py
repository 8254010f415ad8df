"""A fork after use: the child generates too, and does not wait for threads that it has not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SRC = Path(__file__).parent.parent.parent / "src"
PROGRAM = """
import os, signal, sys
sys.path.insert(0, {src!r})
import torch
torch.set_num_threads(2)
import sorairo
model = sorairo.load({folder!r}, "fp32")
def frames():
    (torch.ones(1024, 1024) @ torch.ones(1024, 1024)).sum()  # large enough for two threads
    return model.generate("a red ball", frames=5, steps=2, seed=1).video.frames
frames()
child = os.fork()
if child == 0:
    signal.alarm(20)  # ends a child that waits
    assert frames().any() and torch.get_num_threads() == 1
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0 and torch.get_num_threads() == 2
"""


def test_a_child_generates(tiny_folder: Path) -> None:
    program = PROGRAM.format(src=str(SRC), folder=str(tiny_folder))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
