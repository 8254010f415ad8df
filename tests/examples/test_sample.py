"""The page to learn from makes the same frames as the package does, and stays a page."""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

import sorairo
from sorairo.video import read_video

PAGE = Path(__file__).parent.parent.parent / "examples" / "sample.py"
WORDS = "a red ball drops"


def test_the_same_frames_as_the_package(tiny_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = runpy.run_path(str(PAGE))
    video = page["sample"](WORDS, tiny_folder, frames=5, seed=3, steps=4)
    made = sorairo.load(tiny_folder).generate(WORDS, frames=5, seed=3, steps=4)
    assert np.abs(video.frames.astype(int) - made.video.frames).max() <= 1
    assert capsys.readouterr().out.count("step ") == 4


def test_it_runs_with_the_model_that_ships(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sample.py", "A red ball on the floor.", "ball.mp4"])
    runpy.run_path(str(PAGE), run_name="__main__")
    assert read_video("ball.mp4").frames.shape == (17, 96, 96, 3)


def test_it_draws_a_scene_first_as_the_package_does() -> None:
    words = "a green ball hits a yellow cube"
    video = runpy.run_path(str(PAGE))["sample"](words, "default", frames=5, seed=3, steps=2)
    made = sorairo.load("default").generate(words, frames=5, seed=3, steps=2)
    assert np.abs(video.frames.astype(int) - made.video.frames).max() <= 1


def test_it_is_one_page() -> None:
    assert len(PAGE.read_text().splitlines()) <= 100
