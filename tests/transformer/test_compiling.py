"""Compiled blocks compute what they did."""

import os
import shutil
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch._inductor.runtime.cache_dir_utils import default_cache_dir

from sorairo.nn.attention import in_blocks
from sorairo.transformer.compiling import compile_blocks, keep_compiled, worth_compiling
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

CPU = torch.device("cpu")


@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # torch's own, of its own
def test_compiled_is_the_same():
    torch.manual_seed(0)
    config = PRESETS["tiny"]
    plain = Transformer(config).eval()
    for p in plain.parameters():
        torch.nn.init.normal_(p, std=0.1)
    high = Transformer(config).eval()
    high.load_state_dict(plain.state_dict())
    experts = Experts(lambda: high, lambda: plain, config, boundary=0.5)
    compile_blocks(experts)
    assert high.blocks[0].self_attention.blocks is in_blocks  # loaded and changed at its first use
    latents, words = torch.randn(1, config.channels, 3, 4, 4), torch.randn(1, 5, config.text_dim)
    with torch.inference_mode():
        for time in (700.0, 800.0):
            ours, theirs = (net(latents, torch.tensor([time]), words) for net in (experts, plain))
            assert torch.allclose(ours, theirs, atol=1e-5)
    assert high.blocks[0].self_attention.blocks is not in_blocks
    assert Transformer(config).blocks[0].self_attention.blocks is in_blocks  # others are as they were


def test_large_models_are_worth_it(monkeypatch):
    assert not worth_compiling(PRESETS["default"], CPU)
    assert not worth_compiling(replace(PRESETS["wan-1.3b"], layers=2), CPU)
    assert worth_compiling(PRESETS["wan-14b"], torch.device("cuda"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert not worth_compiling(PRESETS["wan-1.3b"], CPU)
    monkeypatch.setenv("CXX", "sh")  # any program will do
    assert worth_compiling(PRESETS["wan-1.3b"], CPU)


def test_compiled_code_lies_in_the_users_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("SORAIRO_CACHE", str(tmp_path))
    name = "TORCHINDUCTOR_CACHE_DIR"
    for before, after in (
        (None, str(tmp_path / "compiled")),
        (default_cache_dir(), str(tmp_path / "compiled")),  # as importing a compiler leaves it
        ("/mine", "/mine"),
    ):
        monkeypatch.delenv(name, raising=False) if before is None else monkeypatch.setenv(name, before)
        keep_compiled()
        assert os.environ[name] == after


AGAIN = """
import time, torch
from sorairo.transformer.compiling import compile_blocks
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
config = PRESETS["tiny"]
model = Transformer(config).eval().requires_grad_(False)
compile_blocks(model)
start = time.process_time()
with torch.inference_mode():
    model(torch.randn(1, 8, 3, 4, 4), torch.tensor([700.0]), torch.randn(1, 5, 32))
from torch._dynamo.utils import counters
found = counters["inductor"]
print(found["fxgraph_cache_hit"], found["fxgraph_cache_miss"], time.process_time() - start)
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="compiling for a CPU needs a C++ compiler")
def test_what_one_process_compiled_the_next_one_finds(tmp_path):
    env = {name: value for name, value in os.environ.items() if name != "TORCHINDUCTOR_CACHE_DIR"}
    env |= {"SORAIRO_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-W", "ignore", "-c", AGAIN]
    done = [
        subprocess.run(command, env=env, check=True, capture_output=True, text=True).stdout.split()
        for _ in range(2)
    ]
    print(done)
    (hits, misses, first), (later_hits, later_misses, second) = done
    assert int(hits) == 0 and int(misses) > 0
    assert int(later_hits) > 0 and int(later_misses) == 0
    assert float(second) < float(first) and (tmp_path / "compiled").is_dir()
