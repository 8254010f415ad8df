import json
import shutil
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file, save_file

from sorairo.checkpoints.folder import find_folder, load_checkpoint, read_info
from sorairo.checkpoints.save import save_checkpoint
from sorairo.types import UserError

TRANSFORMER = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_folder, tmp_path):
    return shutil.copytree(tiny_folder, tmp_path / "copy")


def test_a_folder_goes_there_and_back(tiny_folder, tmp_path):
    first = load_checkpoint(tiny_folder, "fp32")
    again = tmp_path / "again"
    for _ in range(2):  # the second time in place of the first
        save_checkpoint(
            again,
            first.codec,
            first.transformer,
            tiny_folder,
            first.info,
            shift=first.shift,
            dtype=torch.float32,
        )
    second = load_checkpoint(again, "fp32")
    assert (second.info, second.shift) == (first.info, first.shift)
    for part in ("codec", "transformer"):
        one, other = getattr(first, part), getattr(second, part)
        assert one.config == other.config
        assert one.state_dict().keys() == other.state_dict().keys()
        assert all(
            torch.equal(a, b)
            for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        )
    assert torch.equal(first.text.encode(["a red ball"]).states, second.text.encode(["a red ball"]).states)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again"]
    assert not [path for path in again.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]


def test_dtypes(tiny_folder):
    assert load_checkpoint(tiny_folder, "bf16").transformer.head.project.weight.dtype == torch.bfloat16
    assert load_checkpoint(tiny_folder).dtype in (torch.bfloat16, torch.float32)
    with pytest.raises(UserError, match="auto, bf16, fp32 or int8"):
        load_checkpoint(tiny_folder, "int4")


def test_suffixes_in_upper_case(copy, tiny_folder):
    for part in ("transformer", "vae"):
        path = next((copy / part).glob("*.safetensors"))
        path.rename(path.with_suffix(".SAFETENSORS"))
    got, want = load_checkpoint(copy, "fp32"), load_checkpoint(tiny_folder, "fp32")
    for part in ("codec", "transformer"):
        theirs = getattr(want, part).state_dict()
        assert all(torch.equal(t, theirs[name]) for name, t in getattr(got, part).state_dict().items())


def test_a_codec_in_scaled_fp8(copy):
    path = next((copy / "vae").glob("*.safetensors"))
    tensors = load_file(path)
    name = next(name for name in tensors if name.endswith("conv_in.weight"))
    small = tensors[name].to(torch.float8_e4m3fn)
    scale = {name.replace("weight", "weight_scale"): torch.tensor(2.0)}
    save_file(tensors | {name: small} | scale, path)
    weight = load_checkpoint(copy, "fp32").codec.get_submodule(name.removesuffix(".weight")).weight
    assert torch.equal(weight, 2 * small.float())


def test_what_is_there_is_not_overwritten(tiny_folder, tmp_path):
    tiny = load_checkpoint(tiny_folder, "fp32")
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(UserError, match="something else"):
        save_checkpoint(tmp_path, tiny.codec, tiny.transformer, tiny_folder, tiny.info)
    assert (tmp_path / "precious.txt").read_text() == "mine"


def test_a_name_that_is_none(tmp_path):
    with pytest.raises(UserError, match="no model or folder 'sora-9'"):
        load_checkpoint("sora-9")
    with pytest.raises(UserError, match=r"model_index\.json is missing"):
        load_checkpoint(tmp_path)
    (tmp_path / "model.pt").write_bytes(b"x")
    with pytest.raises(UserError, match="is a pickle"):
        load_checkpoint(tmp_path / "model.pt")


def test_the_index_stands_for_its_folder(tiny_folder):
    assert find_folder(tiny_folder / "model_index.json") == tiny_folder
    assert read_info(tiny_folder).name == "tiny"


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder", "tokenizer", "scheduler"])
def test_a_missing_part(copy, part):
    shutil.rmtree(copy / part)
    with pytest.raises(UserError, match=f"{part}/ is missing"):
        load_checkpoint(copy)


@pytest.mark.parametrize(
    "name",
    [
        "sorairo.json",
        "transformer/config.json",
        TRANSFORMER,
        "vae/config.json",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "text_encoder/model.safetensors",
        "tokenizer/tokenizer.json",
        "scheduler/scheduler_config.json",
    ],
)
def test_every_file_missing_or_cut_short(copy, name):
    whole = (copy / name).read_bytes()
    (copy / name).write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UserError, match=str(copy)):
        load_checkpoint(copy)
    (copy / name).unlink()
    with pytest.raises(UserError, match=str(copy)):
        load_checkpoint(copy)


def test_weights_of_another_shape_are_named(copy):
    config = json.loads((copy / "transformer/config.json").read_text())
    (copy / "transformer/config.json").write_text(json.dumps(config | {"ffn_dim": 128}))
    with pytest.raises(UserError, match=r"ffn.*64.*128|64.*128.*ffn"):
        load_checkpoint(copy)
    (copy / "transformer/config.json").write_text(json.dumps(config | {"num_layers": 3}))
    with pytest.raises(UserError, match=r"blocks\.2"):
        load_checkpoint(copy)
    (copy / "transformer/config.json").write_text(json.dumps(config | {"num_layers": 1}))
    with pytest.raises(UserError, match=r"blocks\.1"):
        load_checkpoint(copy)


def test_a_pickle_is_never_opened(copy):
    (copy / TRANSFORMER).unlink()
    (copy / "transformer/diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(UserError, match="pickle"):
        load_checkpoint(copy)


def test_another_pipelines_folder_is_refused(copy):
    index = json.loads((copy / "model_index.json").read_text())
    (copy / "model_index.json").write_text(json.dumps(index | {"vae": ["diffusers", "AutoencoderKL"]}))
    with pytest.raises(UserError, match="vae is of class AutoencoderKL"):
        load_checkpoint(copy)


def test_loading_needs_no_heavy_imports(tiny_folder):
    program = f"""
import sys
import sorairo
assert "torch" not in sys.modules
sorairo.load({str(tiny_folder)!r}, "fp32")
heavy = {{"transformers", "diffusers", "torch._dynamo", "torch._inductor", "scipy", "av"}}
heavy &= set(sys.modules)
assert not heavy, heavy
"""
    subprocess.run(
        [sys.executable, "-c", program], check=True, env={"PYTHONPATH": "src", "OMP_NUM_THREADS": "1"}
    )
