"""A plan goes into a file and comes out again, known frames as references."""

from __future__ import annotations

import json
import os
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from sorairo.jobs.plans import VERSION, Reference, plan_from_dict, plan_to_dict, read_plan
from sorairo.jobs.source import Source
from sorairo.types import Known, Plan, Span, UserError, Video
from sorairo.video import write_video

SIZE, FPS = (32, 32), 8.0
PLAN = Plan(
    size=SIZE,
    frames=9,
    fps=FPS,
    spans=(Span(text="A café's “red” ball", stop=5), Span(text="it stops; -- 转", start=5)),
    seed=2**62,
    loop=True,
    guidance=3.5,
    negative="grey",
)
CLIP = Video(frames=np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3)).astype(np.uint8), fps=FPS)


def test_there_and_back() -> None:
    values = json.loads(json.dumps(plan_to_dict(PLAN)))
    none = {"known": (), "references": ()}
    assert plan_from_dict(values) == (PLAN, none)
    later = {"shift", "sampler", "references", "control", "control_scale"}
    assert not later & values.keys()  # which older readers refuse
    sampled = replace(PLAN, shift=5.0, sampler="lcm")
    assert plan_from_dict(plan_to_dict(sampled)) == (sampled, none)


@pytest.mark.parametrize("extension", [".mp4", ".gif", ".webp", ".png"])
def test_every_format_carries_it(tmp_path: Path, extension: str) -> None:
    facts = {"plan": plan_to_dict(PLAN), "model": "default", "software": "sorairo 9"}
    write_video(CLIP, tmp_path / f"a{extension}", facts)
    stored = read_plan(tmp_path / f"a{extension}")
    assert (stored.plan, stored.model, stored.software) == (PLAN, "default", "sorairo 9")
    assert stored.whole() == PLAN


def test_known_frames_are_found_in_their_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_video(CLIP, "clip.mp4")
    write_video(replace_frames(CLIP, CLIP.frames[:1, ::-1]), "still.png")
    clip = Source.open("clip.mp4").video(SIZE, FPS)
    still = Source.open("still.png").video(SIZE, FPS, "stretch")
    known = (
        Known(video=clip.part(4, 9)),
        Known(video=still, at=8, hold=0.5),
    )
    plan = replace(PLAN, known=known)
    write_video(CLIP, "out.mp4", {"plan": plan_to_dict(plan), "software": "sorairo 1"})
    stored = read_plan("out.mp4")
    assert [(one.path, one.first, one.frames, one.at, one.hold, one.fit) for one in stored.known] == [
        ("clip.mp4", 4, 5, 0, 1.0, "crop"),
        ("still.png", 0, 1, 8, 0.5, "stretch"),
    ]
    assert len((tmp_path / "out.mp4").read_bytes()) < CLIP.frames.nbytes + 4000  # no pixels in it
    for again, before in zip(stored.whole().known, known, strict=True):
        assert np.array_equal(again.video.frames, before.video.frames)
        assert (again.at, again.hold) == (before.at, before.hold)


def test_files_are_found_beside_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made, moved = tmp_path / "made", tmp_path / "moved"
    made.mkdir()
    monkeypatch.chdir(made)
    write_video(CLIP, "clip.mp4")
    plan = replace(PLAN, known=(Known(video=Source.open("clip.mp4").video(SIZE, FPS)),))
    write_video(CLIP, "out.mp4", {"plan": plan_to_dict(plan), "software": "sorairo 1"})
    monkeypatch.chdir(tmp_path)
    made.rename(moved)
    assert len(read_plan("moved/out.mp4").whole().known) == 1
    write_video(replace_frames(CLIP, CLIP.frames[::-1]), "moved/clip.mp4")
    with pytest.raises(UserError, match="is not the file"):
        read_plan("moved/out.mp4").whole()
    os.remove("moved/clip.mp4")
    with pytest.raises(UserError, match="is not there"):
        read_plan("moved/out.mp4").whole()


def test_frames_of_no_file(tmp_path: Path) -> None:
    plan = replace(PLAN, known=(Known(video=CLIP, hold=0.25),))
    write_video(CLIP, tmp_path / "out.webp", {"plan": plan_to_dict(plan), "software": "sorairo 1"})
    stored = read_plan(tmp_path / "out.webp")
    assert (stored.known[0].path, stored.known[0].hold, stored.plan) == ("", 0.25, PLAN)
    with pytest.raises(UserError, match="are in no file"):
        stored.whole()


def test_a_reference_says_all_that_a_known_does() -> None:
    """A new field of Known that is not written would be lost without a word."""
    named = {field.name for field in fields(Known)} - {"video"}
    assert named <= {field.name for field in fields(Reference)}, (
        "write it in jobs/plans.py, and fetch it again"
    )


GOOD = plan_to_dict(PLAN)
BAD = {
    "unknown key": (GOOD | {"speed": 3}, "unknown key 'speed'"),
    "newer": (GOOD | {"version": VERSION + 1}, "update"),
    "no version": ({key: value for key, value in GOOD.items() if key != "version"}, "version"),
    "wrong type": (GOOD | {"frames": "many"}, "frames"),
    "known that is none": (GOOD | {"known": "clip.mp4"}, "known"),
    "unknown key of a known": (GOOD | {"known": [{"path": "a", "sha256": "b", "x": 1}]}, "unknown key 'x'"),
    "no words": (GOOD | {"spans": []}, "words"),
    "no rate": (GOOD | {"fps": 0}, "rate"),
}


@pytest.mark.parametrize(("values", "words"), BAD.values(), ids=BAD)
def test_bad_plans(tmp_path: Path, values: dict, words: str) -> None:
    write_video(CLIP, tmp_path / "a.gif", {"plan": values, "software": "sorairo 1"})
    with pytest.raises(UserError, match=words) as caught:
        read_plan(tmp_path / "a.gif")
    assert str(caught.value).endswith(".") and "a.gif" in str(caught.value)


@pytest.mark.parametrize("facts", [None, {"prompt": "a red ball"}, {"plan": 3}])
def test_files_without_a_plan(tmp_path: Path, facts: dict | None) -> None:
    write_video(CLIP, tmp_path / "a.gif", facts)
    with pytest.raises(UserError, match="carries no plan"):
        read_plan(tmp_path / "a.gif")


def replace_frames(video: Video, frames: np.ndarray) -> Video:
    return Video(frames=np.ascontiguousarray(frames), fps=video.fps)
