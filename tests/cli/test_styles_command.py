"""`sorairo styles`: the list, and one of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.types import UserError


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["styles", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(autouse=True)
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.toml").write_text('[mine]\nwords = "Under a lilac dusk sky."\n')
    monkeypatch.setenv("SORAIRO_STYLES", str(tmp_path / "mine.toml"))


def test_list() -> None:
    text = run("list")
    assert "sunset " in text and "mine         Under a lilac dusk sky.\n" in text and "mine.toml" in text
    values = json.loads(run("list", "--json"))
    assert [style["name"] for style in values["styles"]][-1] == "mine" and values["file"].endswith(
        "mine.toml"
    )


def test_show() -> None:
    assert run("show", "mine") == "name      mine\nwords     Under a lilac dusk sky.\n"
    assert json.loads(run("show", "sunset", "--json"))["steps"] is None
    with pytest.raises(UserError, match="did you mean sunset"):
        run("show", "sunse")
