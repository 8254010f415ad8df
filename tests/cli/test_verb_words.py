"""What files and words bring along to every verb: --fit, --style, --expand, and the plan that the result carries."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.jobs.request import Request
from sorairo.jobs.words import with_words
from sorairo.types import Plan, Span, Video
from sorairo.video import read_metadata, write_video


@pytest.fixture
def still(tmp_path):
    frames = np.full((1, 48, 128, 3), 200, np.uint8)
    frames[:, :, :40] = (200, 30, 30)
    write_video(Video(frames=frames, fps=1.0), tmp_path / "still.png", {})
    return tmp_path / "still.png"


def run(*words):
    return CliRunner().invoke(app, [str(word) for word in words])


def animated(tiny_folder, still, out, *more):
    done = run(
        "animate",
        still,
        "a red ball",
        "-m",
        tiny_folder,
        "--frames",
        5,
        "--seed",
        1,
        "-o",
        out,
        "--json",
        *more,
    )
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_fit_decides_how_a_picture_comes_to_size_and_the_plan_names_it(tiny_folder, still, tmp_path):
    first = {}
    for fit in ("crop", "letterbox"):
        out = tmp_path / f"{fit}.mp4"
        made = animated(tiny_folder, still, out, "--size", "64x64", "--fit", fit)
        (known,) = made["plan"]["known"]
        assert known["path"] == str(still) and known["fit"] == fit
        assert read_metadata(out)["plan"]["known"] == made["plan"]["known"]
        shown = json.loads(run("show", out, "--json").stdout)
        assert shown["prompt"] == "a red ball"
        first[fit] = made["plan"]["known"]
    wrong = run("animate", still, "a ball", "-m", tiny_folder, "--fit", "zoom", "-o", tmp_path / "x.mp4")
    assert isinstance(wrong.exception, ValueError) and "zoom" in str(wrong.exception)


def test_a_style_gives_words_and_settings(tiny_folder, tmp_path):
    out = tmp_path / "out.mp4"
    words = ("generate", "a red ball", "-m", tiny_folder, "--frames", 5, "--seed", 1, "--json", "-o", out)
    plain, styled = (json.loads(run(*words, *more).stdout) for more in ((), ("--style", "draft")))
    assert styled["steps"] == 6 and plain["steps"] is None
    sunset = json.loads(run(*words, "--style", "sunset").stdout)
    assert "sunset" in sunset["prompt"] and sunset["prompt"].startswith("a red ball.")
    wrong = run(*words, "--style", "sunsett")
    assert "did you mean sunset" in str(wrong.exception)


def test_expanded_words_are_said_and_stand_in_the_plan():
    plan = Plan(size=(64, 64), frames=5, fps=8.0, spans=(Span(text="a red ball bouncing"),), seed=0)
    said: list[str] = []
    worded_plan, rewrites = with_words(
        plan, Request.parse({"verb": "generate", "expand": True, "style": "sunset"}), said.append
    )
    (span,) = worded_plan.spans
    assert rewrites == [("a red ball bouncing", said[0].removeprefix("Expanded: "))]
    assert span.text.startswith("A medium matte red ball drops onto the floor and bounces")
    assert said == [f"Expanded: {span.text[: len(said[0]) - len('Expanded: ')]}"] and "sunset" in span.text
    assert with_words(plan, Request.parse({"verb": "generate"}), said.append) == (plan, []) and len(said) == 1
