import json
from dataclasses import replace

import pytest
import typer
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
