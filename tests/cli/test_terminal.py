"""Text of files and of other programs never takes effect in a terminal."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sorairo.cli.errors import exit_code
from sorairo.cli.main import app
from sorairo.cli.progress import Stages
from sorairo.cli.terminal import safe
from sorairo.jobs.plans import plan_to_dict
from sorairo.types import Plan, Span, UserError, Video
from sorairo.video import write_video

EVIL = "\x1b[2J\x1b]0;owned\x07A \x9b31mred\u202e ball\r\nnow\u2028."


@pytest.mark.parametrize("text", ["A café's ball; 转 क्षि 👩‍👧 ñ", "می‌خواهم", ""])
def test_words_of_all_scripts_stay(text: str) -> None:
    assert safe(text) == text


def test_what_moves_a_terminal_is_written_out() -> None:
    assert safe(EVIL) == r"\x1b[2J\x1b]0;owned\x07A \x9b31mred\u202e ball\r\nnow\u2028."
    assert safe("\ud800") == r"\ud800"


def test_models_and_styles_of_others(
    tmp_path: Path, tiny_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_folder, tmp_path / "model"))
    facts = json.loads((folder / "sorairo.json").read_text()) | {
        "licence": EVIL,
        "name": EVIL,
        "vocabulary": [EVIL],
    }
    (folder / "sorairo.json").write_text(json.dumps(facts))
    (tmp_path / "styles.toml").write_text(f"[evil]\nwords = {json.dumps(EVIL)}\n")
    monkeypatch.setenv("SORAIRO_STYLES", str(tmp_path / "styles.toml"))
    for command in (["models", "info", str(folder)], ["styles", "list"], ["styles", "show", "evil"]):
        done = CliRunner().invoke(app, command, catch_exceptions=False)
        assert done.exit_code == 0 and r"\x1b[2J" in done.stdout
        assert not any(mark in done.stdout for mark in "\x1b\x07\x9b\u202e\r\u2028")


def test_show_and_errors_and_notes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = Plan(size=(32, 32), frames=1, fps=8.0, spans=(Span(text=EVIL),), seed=7, negative=EVIL)
    facts = {"plan": plan_to_dict(plan), "model": EVIL, "software": f"sorairo {EVIL}"}
    write_video(Video(frames=np.zeros((1, 32, 32, 3), np.uint8), fps=8.0), tmp_path / "a.png", facts)
    shown = CliRunner().invoke(app, ["show", str(tmp_path / "a.png")], catch_exceptions=False).stdout
    assert shown.count(r"\x1b[2J") == 4
    exit_code(UserError(EVIL))
    with Stages() as stages:
        stages.say(EVIL)
    captured = capsys.readouterr()
    for text in (shown, captured.err, captured.out):
        assert not any(mark in text for mark in "\x1b\x07\x9b\u202e\r\u2028"), text
