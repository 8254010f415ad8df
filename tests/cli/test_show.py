"""`sorairo show`: what is printed of a file that was made here, and what is said of one that was not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.jobs.plans import plan_to_dict
from sorairo.types import Known, Plan, Span, UserError, Video
from sorairo.video import write_video

CLIP = Video(frames=np.zeros((9, 32, 32, 3), np.uint8), fps=8.0)
PLAN = Plan(size=(32, 32), frames=9, fps=8.0, spans=(Span(text="A red ball rolls."),), seed=7, guidance=3.5)


def show(plan: Plan, path: Path, *words: str) -> str:
    facts = {"plan": plan_to_dict(plan), "model": "default", "software": "sorairo 9"}
    write_video(CLIP, path, facts)
    done = CliRunner().invoke(app, ["show", str(path), *words], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_lines(tmp_path: Path) -> None:
    assert show(PLAN, tmp_path / "a.mp4").splitlines() == [
        "prompt    A red ball rolls.",
        "seed      7",
        "size      32x32",
        "length    9 frames, 1.12 s at 8 a second",
        "steps     the model's own",
        "guidance  3.5",
        "model     default",
        "software  sorairo 9",
    ]


def test_words_over_time_and_known_frames(tmp_path: Path) -> None:
    spans = (Span(text="A red ball rolls.", stop=4), Span(text="It stops.", start=4))
    known = (Known(video=CLIP, hold=0.5),)
    plan = Plan(size=(32, 32), frames=9, fps=8.0, spans=spans, seed=7, known=known, loop=True)
    text = show(plan, tmp_path / "a.gif")
    assert "prompt    0.00 s to 0.50 s: A red ball rolls.\nprompt    0.50 s to the end: It stops.\n" in text
    assert "known     frames 0 to 8 held by 0.5, from no file\n" in text and "loop      yes\n" in text
    text = show(replace(plan, known=(), back=0.4), tmp_path / "b.gif")
    assert "loop      yes, the second half the first in reverse, held by 0.4\n" in text


def test_json(tmp_path: Path) -> None:
    values = json.loads(show(PLAN, tmp_path / "a.webp", "--json"))
    assert (values["prompt"], values["seed"], values["size"]) == ("A red ball rolls.", 7, [32, 32])
    assert (values["model"], values["plan"]) == ("default", plan_to_dict(PLAN))


def test_a_file_without_a_plan(tmp_path: Path) -> None:
    write_video(CLIP, tmp_path / "a.mp4")
    with pytest.raises(UserError, match="carries no plan"):
        CliRunner().invoke(app, ["show", str(tmp_path / "a.mp4")], catch_exceptions=False)
