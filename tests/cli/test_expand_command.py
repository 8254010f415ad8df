"""`sorairo expand`: the rewrite is shown, by the grammar or by a chat server."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.types import UserError


def run(*words: str) -> str:
    done = CliRunner().invoke(app, ["expand", *words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def test_text_and_json() -> None:
    text = run("red ball bouncing").strip()
    assert text.startswith("A medium matte red ball drops onto the floor and bounces")
    values = json.loads(run("red ball bouncing", "--json"))
    assert (values["prompt"], values["text"], values["by"]) == ("red ball bouncing", text, "grammar")
    assert values["understood"] and "camera" in values["added"]
    assert run("red ball", "--still").startswith("A still picture of a medium matte red ball.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("",), "The prompt is empty"),
        (("red ball", "--url", "here"), "is no address"),
        (("red ball", "--chat-model", "m"), "goes with --url"),
    ],
)
def test_bad_input(words: tuple[str, ...], said: str) -> None:
    with pytest.raises(UserError, match=said):
        run(*words)
