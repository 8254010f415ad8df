import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sorairo.checkpoints.memory.working import Part, Stage, folder_parts, needs, working_memory

MEASURE = """
import sys, torch
torch.set_num_threads(1)
from sorairo.dit.codec import KLImage, KLImageConfig
from sorairo.checkpoints.memory.working import working_memory
from sorairo.dit.model import DiT, DiTConfig
def status(key):
    return next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith(key))
dtype = getattr(torch, sys.argv[2])
if sys.argv[1] == "dit":
    config = DiTConfig(side=48, layers=2)
    make = lambda: DiT(config)
    def run(m):
        label = torch.zeros(4, dtype=torch.long)
        return m(torch.zeros(4, 4, 48, 48, dtype=dtype), label, label)
else:
    make = lambda: KLImage(KLImageConfig(widths=(32, 64), groups=8))
    run = lambda m: m.decode(torch.zeros(1, 4, 160, 160, dtype=dtype))
with torch.device("meta"):
    shell = make()
said = working_memory(shell, run, dtype)
module = make().to(dtype)
if sys.argv[1] != "dit":
    module = module.to(memory_format=torch.channels_last)
with torch.inference_mode():
    if sys.argv[1] == "dit":
        label = torch.zeros(1, dtype=torch.long)
        module(torch.zeros(1, 4, 8, 8, dtype=dtype), label, label)
    else:
        module.decode(torch.zeros(1, 4, 8, 8, dtype=dtype))
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    run(module)
print((status("VmHWM") - before) / said, said)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize(("what", "dtype"), [("dit", "float32"), ("kl", "float32")])
def test_the_dry_run_says_what_a_real_run_takes(what, dtype):
    command = [sys.executable, "-c", MEASURE, what, dtype]
    # freed memory goes back to the system at once, so that what is measured is what lives
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "100000"}
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=env).stdout
    ratio, said = map(float, out.split())
    assert said > 50e6
    assert 0.9 < ratio < 1.1


def test_what_is_freed_is_not_counted_and_views_are_counted_once():
    def run(module):
        x = torch.empty(1000, dtype=torch.float32)  # 4000
        y = x.view(10, 100).transpose(0, 1)
        z = y + 1  # 8000
        del x, y
        return module(z.flatten()[:100])  # a copy and the result: 4000 + 4000 + 80

    with torch.device("meta"):
        module = nn.Linear(100, 20)
    assert working_memory(module, run, torch.float32) == 8080
    assert module.weight.dtype == torch.float32


def test_parts_are_counted_from_headers(tmp_path):
    for name, dtype in (("transformer", torch.bfloat16), ("vae", torch.float32)):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        save_file({"a": torch.zeros(3, 5, dtype=dtype)}, tmp_path / name / "model.safetensors")
    (tmp_path / "scheduler").mkdir()
    assert folder_parts(tmp_path) == [
        Part(name="transformer", parameters=15, dtype="bf16"),
        Part(name="vae", parameters=15, dtype="fp32"),
    ]


def test_needs_are_those_of_the_worst_moment():
    parts = [Part(name=n, parameters=p, dtype=None) for n, p in (("text", 100), ("net", 50), ("vae", 10))]
    stages = [
        Stage(name="text", parts=("text",), working=1),
        Stage(name="denoise", parts=("net",), working=30),
        Stage(name="decode", parts=("vae",), working=90),
    ]
    assert needs(parts, stages, torch.bfloat16) == (320 + 90, 201)
