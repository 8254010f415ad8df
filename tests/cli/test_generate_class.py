import json

import pytest
from PIL import Image
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.types import UserError
from tests.test_class_images import save_pipeline


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dit")
    save_pipeline(folder)
    return str(folder)


def generate(*words):
    return CliRunner().invoke(app, ["generate", *words])


def test_pictures_of_a_class(folder, tmp_path):
    out, sheet = tmp_path / "dog.png", tmp_path / "sheet.png"
    words = ["--class", "golden retriever", "-m", folder, "-n", "2", "--seed", "5", "--steps", "2"]
    done = generate(*words, "-o", str(out), "--sheet", str(sheet), "--json")
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["prompt"] == "golden retriever" and [v["seed"] for v in values["videos"]] == [5, 6]
    with Image.open(tmp_path / "dog-2.png") as picture:
        assert picture.size == (16, 16) and sheet.exists()


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--class", "retriever"], "did you mean golden retriever"),
        (["--class", "tench", "--frames", "17"], "--frames does not go with --class"),
        (["--class", "tench", "--sampler", "euler"], "ddim or ddpm"),
        (["a dog"], "give --class in place of PROMPT"),
    ],
)
def test_bad_asks(folder, tmp_path, words, sentence):
    done = generate(*words, "-m", folder, "-o", str(tmp_path / "x.png"))
    assert isinstance(done.exception, UserError) and sentence in str(done.exception)


def test_a_class_and_words_do_not_go_together(folder):
    done = generate("a dog", "--class", "tench", "-m", folder)
    assert done.exit_code == 2 and "PROMPT" in done.output
