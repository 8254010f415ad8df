import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.types import UserError
from tests.dit.test_generate import save_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dit")
    save_pipeline(folder)
    return str(folder)


def run(*words):
    return CliRunner().invoke(app, ["picture", *words])


def test_pictures_of_a_class(folder, tmp_path):
    out, sheet = tmp_path / "dog.png", tmp_path / "sheet.png"
    words = ["golden retriever", "-m", folder, "-n", "2", "--seed", "5", "--steps", "2"]
    done = run(*words, "-o", str(out), "--sheet", str(sheet), "--json")
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["prompt"] == "golden retriever" and [v["seed"] for v in values["videos"]] == [5, 6]
    with Image.open(tmp_path / "dog-2.png") as picture:
        assert picture.size == (16, 16) and sheet.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["retriever"], "did you mean golden retriever"),
        (["tench", "-n", "0"], "-n must be"),
        (["tench", "--sampler", "euler"], "ddim or ddpm"),
    ],
)
def test_bad_asks(folder, tmp_path, words, sentence):
    done = run(*words, "-m", folder, "-o", str(tmp_path / "x.png"))
    assert isinstance(done.exception, UserError) and sentence in str(done.exception)


def test_a_dit_and_words_do_not_go_together(folder, tiny_folder):
    done = CliRunner().invoke(app, ["generate", "a dog", "-m", folder])
    assert "sorairo picture" in str(done.exception)
    done = run("tench", "-m", str(tiny_folder))
    assert "sorairo generate" in str(done.exception)
