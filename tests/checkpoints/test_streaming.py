import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from sorairo.checkpoints.adapters.wan import from_wan, to_wan
from sorairo.checkpoints.headers import read_header
from sorairo.checkpoints.memory.streaming import load_streamed
from sorairo.nn.lora import LowRank, attach, merge
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

CONFIG = replace(PRESETS["tiny"], layers=4)

MEASURE = """
import sys, torch
torch.set_num_threads(1)
from dataclasses import replace
from sorairo.checkpoints.adapters.wan import from_wan
from sorairo.checkpoints.memory.streaming import load_streamed
from sorairo.checkpoints.headers import read_header
from sorairo.checkpoints.tensors import load_weights
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
path, dtype, how = sys.argv[1], getattr(torch, sys.argv[2]), sys.argv[3]
from pathlib import Path
entries = read_header(Path(path))
config = replace(PRESETS["tiny"], layers=16, heads=16, hidden=1024)
def status(key):
    return next(int(l.split()[1]) * 1024 for l in open("/proc/self/status") if l.startswith(key))
with torch.device("meta"):
    small, model = Transformer(PRESETS["tiny"]), Transformer(config)
x, time, text = torch.zeros(1, 8, 1, 4, 4, dtype=dtype), torch.zeros(1), torch.zeros(1, 4, 32, dtype=dtype)
with torch.inference_mode():
    warm = torch.nn.Linear(256, 1024, dtype=dtype)
    warm(torch.zeros(4, 256, dtype=dtype))
    open("/proc/self/clear_refs", "w").write("5")
    before = status("VmRSS")
    if how == "streamed":
        load_streamed(model, entries, from_wan, dtype)
    else:
        load_weights(model, entries, from_wan, dtype)
        model.to(dtype)
    for _ in range(2):
        model(x, time, text)
    print(status("VmHWM") - before, sum(p.numel() for p in model.blocks.parameters()) * dtype.itemsize)
"""


@pytest.fixture
def resident():
    torch.manual_seed(0)
    model = Transformer(CONFIG).eval().requires_grad_(False)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model


@pytest.fixture
def entries(resident, tmp_path):
    save_file(to_wan(resident.state_dict(), CONFIG), tmp_path / "model.safetensors")
    return read_header(tmp_path / "model.safetensors")


def streamed(entries, dtype=None):
    with torch.device("meta"):
        model = Transformer(CONFIG)
    return load_streamed(model, entries, from_wan, dtype)


def inputs(dtype=torch.float32):
    torch.manual_seed(1)
    return torch.randn(1, 8, 2, 4, 4).to(dtype), torch.tensor([300.0]), torch.randn(1, 5, 32).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_equal_to_the_bit_and_nothing_stays(resident, entries, dtype):
    model = streamed(entries, dtype)
    x, time, text = inputs(dtype)
    want = resident.to(dtype)(x, time, text)
    for _ in range(2):
        assert torch.equal(model(x, time, text), want)
        assert all(parameter.is_meta for parameter in model.blocks.parameters())
    assert not any(parameter.is_meta for parameter in model.head.parameters())
    assert {n: p.shape for n, p in model.named_parameters()} == {
        n: p.shape for n, p in resident.named_parameters()
    }


def test_a_failure_leaves_it_usable(resident, entries):
    model = streamed(entries)
    x, time, text = inputs()
    with pytest.raises(RuntimeError):
        model(x, time, text[..., :7])
    broken = model.blocks[1].register_forward_pre_hook(lambda block, args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model(x, time, text)
    broken.remove()
    assert torch.equal(model(x, time, text), resident(x, time, text))


def test_a_lora_beside_streamed_blocks(resident, entries):
    model = streamed(entries)
    changes = {
        "blocks.2.feed_forward.up.weight": LowRank(torch.randn(2, 32), torch.randn(64, 2)),
        "blocks.0.self_attention.q.bias": torch.randn(32),
    }
    attach(model, [(changes, 0.5)])
    merge(resident, [(changes, 0.5)])
    x, time, text = inputs()
    assert torch.allclose(model(x, time, text), resident(x, time, text), atol=1e-4)


def test_umt5_too(tmp_path):
    from transformers import UMT5Config, UMT5EncoderModel

    torch.manual_seed(0)
    config = UMT5Config(d_model=32, d_kv=8, d_ff=48, num_layers=3, num_heads=4, vocab_size=50)
    whole = UMT5EncoderModel(config).eval().requires_grad_(False).encoder
    tensors = {name: tensor.clone() for name, tensor in whole.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    with torch.device("meta"):
        stack = UMT5EncoderModel(config).encoder
    load_streamed(stack, read_header(tmp_path / "model.safetensors"), under="block")
    ids = torch.randint(50, (1, 7))
    assert torch.equal(stack(ids).last_hidden_state, whole(ids).last_hidden_state)
    assert all(parameter.is_meta for parameter in stack.block.parameters())


def test_wrong_weights_are_named_at_once(entries):
    some = {name: entry for name, entry in entries.items() if "blocks.3.attn1.to_q.weight" not in name}
    with pytest.raises(UserError, match=r"missing: blocks\.3\.self_attention\.q\.weight"):
        streamed(some)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_memory_is_that_of_two_blocks(tmp_path, dtype):
    """16 blocks of 4 MB: as saved (float32, paged in from the file) and converted."""
    config = replace(PRESETS["tiny"], layers=16, heads=16, hidden=1024)
    with torch.device("meta"):
        model = Transformer(config)
    tensors = {name: torch.zeros(tensor.shape) for name, tensor in model.state_dict().items()}
    save_file(to_wan(tensors, config), tmp_path / "model.safetensors")

    def measure(how):
        command = [sys.executable, "-c", MEASURE, str(tmp_path / "model.safetensors"), dtype, how]
        # freed memory goes back to the system at once, so that what is measured is what lives
        env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "100000"}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=env)
        peak, weights = map(int, done.stdout.split())
        return peak, weights

    (lean, weights), (whole, _) = measure("streamed"), measure("resident")
    assert whole > 0.9 * weights
    print(f"{dtype}: weights {weights / 1e6:.0f} MB, resident {whole / 1e6:.0f}, streamed {lean / 1e6:.0f}")
    assert lean < whole - 0.75 * weights, (lean, whole, weights)  # 14 of 16 are not there
