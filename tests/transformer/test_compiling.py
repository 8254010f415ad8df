"""Compiled blocks compute what they did."""

import shutil
from dataclasses import replace

import pytest
import torch

from sorairo.nn.attention import in_blocks
from sorairo.transformer.compiling import compile_blocks, worth_compiling
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
