import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from sorairo.checkpoints.headers import read_header, weight_files
from sorairo.checkpoints.tensors import load_weights
from sorairo.types import UserError


def shell():
    with torch.device("meta"):
        return nn.Sequential(nn.Linear(4, 6), nn.LayerNorm(6))


def saved(folder, **changes):
    torch.manual_seed(0)
    tensors = {k: torch.randn(v.shape) for k, v in shell().state_dict().items()} | changes
    save_file({k: v for k, v in tensors.items() if v is not None}, folder / "model.safetensors")
    return tensors


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.bfloat16, torch.float64])
def test_weights_arrive_bit_for_bit_in_the_dtype_asked_for(tmp_path, dtype):
    tensors = saved(tmp_path)
    module = shell()
    load_weights(module, tmp_path, dtype=dtype)
    for name, tensor in module.state_dict().items():
        assert tensor.dtype == (dtype or torch.float32) and not tensor.is_meta
        assert torch.equal(tensor, tensors[name].to(tensor.dtype))


@pytest.mark.parametrize("dtype", [None, torch.bfloat16])
def test_convolutions_may_be_laid_out_anew(tmp_path, dtype):
    with torch.device("meta"):
        module = nn.Conv2d(3, 5, 2)
    tensors = {k: torch.randn(v.shape) for k, v in module.state_dict().items()}
    save_file(tensors, tmp_path / "model.safetensors")
    load_weights(module, tmp_path, dtype=dtype, layout=torch.channels_last)
    assert module.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(module.weight, tensors["weight"].to(dtype or torch.float32))


def test_changing_loaded_weights_leaves_the_file_alone(tmp_path):
    saved(tmp_path)
    before = (tmp_path / "model.safetensors").read_bytes()
    module = shell()
    load_weights(module, tmp_path)
    with torch.no_grad():
        module[0].weight.add_(1)
    assert (tmp_path / "model.safetensors").read_bytes() == before


def test_the_header_says_what_safetensors_wrote(tmp_path):
    tensors = saved(
        tmp_path, **{"0.weight": torch.ones(4, 6, dtype=torch.bfloat16), "none": torch.empty(0, 3)}
    )
    entries = read_header(tmp_path / "model.safetensors")
    assert {k: (v.dtype, v.shape) for k, v in entries.items()} == {
        k: (v.dtype, tuple(v.shape)) for k, v in tensors.items()
    }


def test_a_sharded_folder_is_read_by_its_index(tmp_path):
    tensors = saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    where = {}
    for i, name in enumerate(tensors):
        where[name] = f"model-{i % 2 + 1:05}-of-00002.safetensors"
    for file in set(where.values()):
        save_file({k: v for k, v in tensors.items() if where[k] == file}, tmp_path / file)
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    module = shell()
    load_weights(module, tmp_path)
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in module.state_dict().items())
    (tmp_path / "model-00002-of-00002.safetensors").unlink()
    with pytest.raises(UserError, match=r"00002-of-00002\.safetensors is missing"):
        weight_files(tmp_path)


def test_each_tensor_that_does_not_fit_is_named(tmp_path):
    saved(tmp_path, **{"0.bias": None, "1.bias": torch.ones(5), "2.bias": torch.ones(3)})
    with pytest.raises(UserError) as caught:
        load_weights(shell(), tmp_path)
    for part in ("1.bias is 5 in place of 6", "missing: 0.bias", "not of this model: 2.bias"):
        assert part in str(caught.value)


def test_copies_must_be_equal(tmp_path):
    weight = torch.ones(1, 1)
    save_file({"a.weight": weight, "b.weight": weight + 1}, tmp_path / "model.safetensors")
    only = lambda tensors: dict.fromkeys(["weight"], next(iter(tensors.values())))  # noqa: E731
    with torch.device("meta"):
        module = nn.Linear(1, 1, bias=False)
    with pytest.raises(UserError, match="differs from its copy"):
        load_weights(module, tmp_path, only)


@pytest.mark.parametrize("keep", [0, 5, 40, -1])
def test_a_cut_file_is_refused(tmp_path, keep):
    saved(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(UserError, match="cut short"):
        load_weights(shell(), tmp_path)


def test_pickles_and_empty_folders_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"holds no \.safetensors"):
        weight_files(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(UserError, match="as a pickle"):
        weight_files(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        weight_files(tmp_path / "transformer")


PEAK = """
import resource, sys, torch
from pathlib import Path
from torch import nn
from sorairo.checkpoints.tensors import load_weights
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
with torch.device("meta"):
    module = nn.Sequential(*(nn.Linear(1024, 1024, bias=False) for _ in range(48)))
torch.ones(4).to(torch.bfloat16)
before = peak()
load_weights(module, Path(sys.argv[1]), dtype=getattr(torch, sys.argv[2]))
if len(sys.argv) > 3:
    module(torch.ones(1, 1024))
print((peak() - before) / sum(p.numel() * p.element_size() for p in module.parameters()))
"""


@pytest.mark.parametrize(("dtype", "extra"), [("bfloat16", []), ("float32", ["run"])])
def test_loading_takes_little_more_memory_than_the_weights(tmp_path, dtype, extra):
    save_file(
        {f"{i}.weight": torch.full((1024, 1024), 1e-3) for i in range(48)}, tmp_path / "model.safetensors"
    )
    command = [sys.executable, "-c", PEAK, str(tmp_path), dtype, *extra]
    ratio = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert ratio < 1.15
