"""The verb upscale: files at twice their size, without a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sorairo.jobs.enlarge import doubled
from sorairo.jobs.models import Models
from sorairo.jobs.plans import plan_to_dict, read_plan
from sorairo.jobs.request import Request
from sorairo.jobs.run import run
from sorairo.jobs.source import Source
from sorairo.types import Plan, Span, UserError, Video
from sorairo.upscale import upscale
from sorairo.video import read_video, write_video

WORDS = "a red ball rolls"


def picture(path: Path, size: tuple[int, int] = (48, 32)) -> Path:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(size[1], size[0], 3).astype(np.uint8)
    Image.fromarray(ramp).save(path)
    return path


def ours(path: Path) -> Path:
    """A clip with the record of one that was made here."""
    frames = np.stack([np.full((64, 64, 3), 40 * shade, np.uint8) for shade in range(5)])
    plan = Plan(size=(64, 64), frames=5, fps=8.0, spans=(Span(text=WORDS),), seed=5, steps=7)
    record = {"model": "default", "software": "sorairo 1", "plan": plan_to_dict(plan)}
    write_video(Video(frames=frames, fps=8.0), path, record)
    return path


def made(source: Path, out: Path) -> Path:
    request = Request.parse({"verb": "upscale", "sources": [str(source)]})
    (result,) = run(request, Models(), outputs=[out])
    assert result.path == out
    return out


def test_a_picture_is_what_the_network_makes_of_it(tmp_path: Path) -> None:
    source = picture(tmp_path / "a.png")
    large = read_video(made(source, tmp_path / "b.png"))
    assert large.size == (96, 64)
    assert np.array_equal(large.frames, upscale(read_video(source)).frames)


def test_words_and_settings_go_on(tmp_path: Path) -> None:
    first = made(ours(tmp_path / "a.mp4"), tmp_path / "b.mp4")
    stored = read_plan(first)
    assert (stored.plan.spans[0].text, stored.plan.seed, stored.plan.steps) == (WORDS, 5, 7)
    assert (stored.upscale, stored.plan.size, stored.model) == (2, (64, 64), "default")
    assert stored.known[0].frames == 5 and len(stored.whole().known[0].video) == 5
    again = read_plan(made(first, tmp_path / "c.mp4"))
    # its size is none of the model's, so that extend does not ask the model for it
    assert (again.plan.size, again.model) == ((128, 128), "upscale")
    assert read_video(tmp_path / "c.mp4").size == (256, 256)


def test_too_large_is_refused_before_it_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sorairo.jobs.enlarge.MOST", 1000)
    with pytest.raises(UserError, match="shorter"):
        doubled(Source.open(picture(tmp_path / "a.png")), "white", lambda *told: None)
