"""`sorairo scene`, and a clip along its file."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.types import UserError


def run(*words: str) -> str:
    done = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_a_scene_is_drawn_changed_and_followed(folder, tmp_path):
    path, shown, clip = tmp_path / "s.json", tmp_path / "s.png", tmp_path / "clip.mp4"
    model = ("-m", str(folder), "--frames", "5")
    said = run("scene", "a red ball", *model, "-o", str(path), "--picture", str(shown), "--json")
    values = json.loads(path.read_text())
    assert json.loads(said)["objects"] == values["objects"] and shown.is_file()
    assert str(path) in run("scene", "a red ball", *model, "-o", str(path))
    values["objects"] = [{"shape": "ball", "colour": "red", "path": [{"x": 0.1, "y": 0.2}]}]
    path.write_text(json.dumps(values))
    run("generate", "a red ball", *model, "--scene", str(path), "--steps", "1", "-o", str(clip))
    assert "set, objects: 1" in run("show", str(clip))


def test_a_bad_scene_is_one_sentence(folder, tmp_path):
    path, clip = tmp_path / "s.json", tmp_path / "clip.mp4"
    path.write_text('{"objects": [{"shape": "ball"}]}')
    words = ("generate", "a red ball", "-m", str(folder), "-o", str(clip), "--scene")
    with pytest.raises(UserError, match=r"s\.json: objects"):
        run(*words, str(path))
    with pytest.raises(UserError, match="does not exist"):
        run(*words, str(tmp_path / "none.json"))
    with pytest.raises(UserError, match="folder"):
        run(*words, str(tmp_path))
    with pytest.raises(UserError, match="draws no scenes"):
        run("scene", "a red ball", "-m", "single", "-o", str(tmp_path / "other.json"))
    drawing = ("scene", "a red ball", "-m", str(folder), "-o", str(tmp_path / "other.json"))
    for more, says in [
        (("--frames", "0"), "0 frames cannot be made"),
        (("--frames", "4"), "4 frames cannot be made"),
        (("--seed", "-1"), "seed"),
        (("--picture", str(tmp_path / "s.foo")), "must end in"),
        (("-o", str(tmp_path / "other.txt")), "must end in .json"),
        (("-o", str(tmp_path / "none" / "s.json")), "does not exist"),
    ]:
        with pytest.raises(UserError, match=says):
            run(*drawing, *more)
    with pytest.raises(UserError, match="prompt is empty"):
        run("scene", "", *drawing[2:])
    assert not clip.exists() and not (tmp_path / "other.json").exists()
