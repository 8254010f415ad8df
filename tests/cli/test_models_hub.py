import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import typer
from safetensors.torch import save
from typer.testing import CliRunner

from sorairo.checkpoints.hub import store
from sorairo.cli import models_hub
from sorairo.cli.main import app as main_app
from sorairo.types import UserError
from tests.checkpoints.test_hub import FILES, REPO, serving

app = typer.Typer()
models_hub.register(app)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SORAIRO_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "models" / "owner" / "tiny-model"


def run(*words, input=None):
    return CliRunner().invoke(app, list(words), input=input)


def test_pull_verify_rm(home):
    with serving() as server:
        done = run("pull", REPO, "--endpoint", server.url, "--json")
    values = json.loads(done.stdout)
    assert done.exit_code == 0 and values["folder"] == str(home) and values["fetched"] == values["bytes"]
    assert "all 7 files are as they were pulled" in run("verify", REPO).stdout
    (home / "LICENSE.txt").write_bytes(b"fret")
    spoilt = run("verify", REPO)
    assert isinstance(spoilt.exception, UserError) and "its hash differs" in str(spoilt.exception)
    assert json.loads(run("verify", REPO, "--json").stdout)["faults"] != []
    assert run("rm", REPO, input="n\n").exit_code == 1 and home.exists()
    assert run("rm", REPO, "-y").exit_code == 0 and not home.exists()


def test_a_pickle_is_said_to_be_left_out(home):
    with serving(files={k: v for k, v in FILES.items() if not k.startswith("assets")}) as server:
        done = run("pull", REPO, "--endpoint", server.url)
    assert "left out, as pickles: transformer/diffusion_pytorch_model.bin" in done.stdout
    assert store.read_manifest(home).complete


def models(*words):
    return CliRunner().invoke(main_app, ["models", *words])


def test_info_says_what_a_published_model_needs_before_it_is_here():
    done = models("info", "dit-xl-2-256", "--size", "256x256", "--count", "2", "--json")
    assert done.exit_code == 0, done.exception
    values = json.loads(done.stdout)
    assert [part["parameters"] for part in values["parts"]] == [674_834_720, 83_653_863]
    assert values["memory"][0]["makes"] == "2 of 256x256" and 1.5e9 < values["memory"][0]["kept"] < 2.5e9
    for words, sentence in (
        (("info", "dit-xl-2-256", "--frames", "9"), "Give --size WxH too"),
        (("info", "a/b"), "sorairo models pull a/b"),
        (("info", "dit-xl-2-256", "--size", "8x8"), "single pictures of 256x256 only"),
    ):
        assert sentence in str(models(*words).exception)


def test_pulled_models_are_listed(home):
    with serving() as server:
        run("pull", REPO, "--endpoint", server.url)
    assert f"{REPO}  1 MB, pulled" in models("list").stdout
    store.write_manifest(home, replace(store.read_manifest(home), complete=False))
    assert "half pulled" in models("list").stdout
    assert "half pulled; finish it" in str(models("info", REPO).exception)


def test_info_of_what_is_refused_says_the_same_as_generate(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": "WanAnimateModel"}))
    assert "is of WanAnimateModel (Wan 2.2 Animate" in str(models("info", str(tmp_path)).exception)
    assert "There is no file" in str(models("info", str(tmp_path / "wan.safetensors")).exception)


def files_of_a_collection(root):
    """A repository like Comfy-Org's, of a tiny model; its loaded weights."""
    from tests.checkpoints.test_comfy_files import from_a_file

    model, _ = from_a_file(root, "wan2.1-t2v", "authors")
    places = {
        "diffusion_models/wan2.1_t2v.safetensors": "model.safetensors",
        "vae/wan_2.1_vae.safetensors": "vae.safetensors",
        "vae/constants.json": "constants.json",
        "text_encoders/umt5_xxl_fp16.safetensors": "umt5.safetensors",
    }
    return {f"split_files/{path}": (root / name).read_bytes() for path, name in places.items()}, model


def test_a_file_of_a_collection_is_a_model_by_its_name(home, tmp_path):
    """Pulled it was, but --model and `models info` said that it "does not exist"."""
    from sorairo.checkpoints.beside import Beside
    from sorairo.checkpoints.folder import load_checkpoint
    from sorairo.checkpoints.lora import read_lora
    from sorairo.checkpoints.memory.planner import plan_for
    from tests.checkpoints.test_comfy_files import same

    (tmp_path / "made").mkdir()
    files, want = files_of_a_collection(tmp_path / "made")
    transformer = f"{REPO}/split_files/diffusion_models/wan2.1_t2v.safetensors"
    with pytest.raises(UserError, match=f"sorairo models pull {transformer}"):
        load_checkpoint(transformer)
    halves = {"lora_A": torch.ones(2, 128), "lora_B": torch.ones(128, 2)}
    files["loras/style.safetensors"] = save(
        {f"blocks.0.self_attn.q.{n}.weight": t for n, t in halves.items()}
    )
    with serving(files=files) as server:
        for path in files:
            assert run("pull", f"{REPO}/{path}", "--endpoint", server.url).exit_code == 0
    for name in (transformer, REPO):  # the one model of the files that are here
        got = load_checkpoint(name, "fp32")
        assert same(got.transformer, want.transformer) and same(got.codec, want.codec)
        done = models("info", name, "--size", "64x48", "--json")
        assert done.exit_code == 0, done.exception
        assert [part["name"] for part in json.loads(done.stdout)["parts"]] == [
            "text_encoder",
            "transformer",
            "vae",
        ]
        assert plan_for("4GB", name, want.dtype, (64, 48), 5).keep
    beside = Beside(vae=Path(f"{REPO}/split_files/vae/wan_2.1_vae.safetensors"))
    assert same(load_checkpoint(transformer, "fp32", beside=beside).codec, want.codec)
    assert read_lora(Path(f"{REPO}/loras/style.safetensors")).changes
    with pytest.raises(UserError, match=f"models pull {REPO}/loras/none.safetensors"):
        read_lora(Path(f"{REPO}/loras/none.safetensors"))
    pair = load_checkpoint(f"high={transformer},low={transformer}", "fp32")
    assert same(pair.transformer.at("low"), want.transformer)
    assert "all 5 files are as they were pulled" in run("verify", transformer).stdout
    assert "rm deletes all of owner/tiny-model" in str(run("rm", transformer, "-y").exception)
    assert run("rm", REPO, "-y").exit_code == 0


def test_names_that_are_addresses_or_paths_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models" / "unet").mkdir(parents=True)
    for name, sentence in (
        ("https://huggingface.co/Wan-AI/Wan2.1-T2V-1.3B", "is an address; write Wan-AI/Wan2.1-T2V-1.3B"),
        (
            "https://huggingface.co/a/b/resolve/main/c/d.safetensors",
            "is an address; write a/b/c/d.safetensors",
        ),
        ("https://huggingface.co/a/b/blob/main/d.gguf?download=true", "is an address; write a/b/d.gguf"),
    ):
        for command in ("pull", "info"):
            assert sentence in str(models(command, name).exception)
    for name in ("models/wan.safetensors", "models/unet/wan.gguf", "unet/wan.safetensors"):
        assert f"There is no file {name}" in str(models("info", name).exception)
