import json

from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.types import UserError


def run(*words):
    return CliRunner().invoke(app, ["export", *map(str, words)])


def test_there_and_back_from_the_command_line(tiny_folder, tmp_path):
    done = run(tiny_folder, tmp_path / "original", "--layout", "original", "--json")
    assert done.exit_code == 0, done.exception
    values = json.loads(done.stdout)
    assert values["layout"] == "original" and values["bytes"] > 100_000
    assert (tmp_path / "original" / "VAE.safetensors").is_file()
    back = run(tmp_path / "original", tmp_path / "back")
    assert "in the diffusers layout" in back.stdout and (tmp_path / "back" / "model_index.json").is_file()


def test_what_cannot_be_exported_is_said(tiny_folder, tmp_path):
    (tmp_path / "model_index.json").write_text('{"_class_name": "DiTPipeline"}')
    for words, sentence in (
        ((tmp_path, tmp_path / "x"), "is a DiT, whose folder is in diffusers' layout already"),
        ((tiny_folder, tmp_path / "x", "--layout", "comfy"), "choose diffusers or original"),
        ((tiny_folder, tiny_folder / "model_index.json"), "is a file; choose a folder"),
    ):
        done = run(*words)
        assert isinstance(done.exception, UserError) and sentence in str(done.exception)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model_index.json"]
