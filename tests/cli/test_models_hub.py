import json

import pytest
import typer
from typer.testing import CliRunner

from sorairo.checkpoints import store
from sorairo.cli import models_hub
from sorairo.types import UserError
from tests.checkpoints.test_hub import FILES, REPO, serving

app = typer.Typer()
models_hub.register(app)


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("SORAIRO_HOME", str(tmp_path))
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
