"""Every verb as a person meets it: files in, a file and JSON out, and one sentence for every mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sorairo.cli.storyboard import read_cards
from sorairo.jobs.plans import plan_to_dict, read_plan
from sorairo.types import Plan, Span, UserError, Video
from sorairo.video import has_sound, read_given, read_video, write_video
from tests.cli.test_generate_command import Done, names, refused
from tests.cli.test_generate_command import sorairo as sorairo  # the fixture
from tests.video.test_sound import loudness, tone_file

WORDS = "a red ball rolls"
QUICK = ("--model", "MODEL", "--steps", "1", "--seed", "1")


def clip(path: str, frames: int = 9, shade: int = 0, **metadata: object) -> str:
    """A file in the folder; a smooth picture, so that H.264 keeps it."""
    ramp = np.linspace(0, 255, 64)[None, :, None, None] * np.ones((frames, 64, 64, 3))
    moved = np.stack([np.roll(frame, 3 * index, axis=1) for index, frame in enumerate(ramp)])
    values = (moved + 40 * shade).clip(0, 255).astype(np.uint8)
    write_video(Video(frames=values, fps=8.0), path, metadata or None)
    return path


def made_here(words: str, seed: int) -> dict[str, object]:
    """The record of a file that sorairo made."""
    plan = Plan(size=(64, 64), frames=9, fps=8.0, spans=(Span(text=words),), seed=seed)
    return {"prompt": words, "seed": seed, "software": "sorairo 1", "plan": plan_to_dict(plan)}


@pytest.fixture
def given(sorairo: Callable[..., Done]) -> None:
    clip("a.mp4", **made_here("a red ball drops", 5))
    clip("b.mp4", shade=1)
    Image.fromarray(read_video("a.mp4").frames[0]).save("still.png")


@pytest.mark.parametrize(
    ("arguments", "frames"),
    [
        (("animate", "still.png", WORDS, "--frames", "5"), 5),
        (("extend", "a.mp4", WORDS, "--frames", "4"), 13),
        (("extend", "a.mp4", "--before", "--seconds", "0.5"), 13),
        (("loop", "a.mp4", "--frames", "4"), 13),
        (("loop", "a.mp4", "--free", "--frames", "4"), 13),
        (("loop", WORDS, "--frames", "9"), 9),
        (("loop", WORDS, "--free", "--frames", "9"), 9),
        (("connect", "a.mp4", "b.mp4", WORDS, "--frames", "4"), 22),
        (("edit", "a.mp4", WORDS, "--strength", "0.4", "--region", "0,0,32,32"), 9),
        (("recut", "a.mp4", "--keep", "0.5-1.0", "--seconds", "1.1"), 9),
        (("remix", "a.mp4", "now the ball is blue"), 9),
        (("blend", "a.mp4", "b.mp4", WORDS), 9),
        (("storyboard", "cards.yaml", "--frames", "13"), 13),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_every_verb(
    sorairo: Callable[..., Done], given: None, arguments: tuple[str, ...], frames: int
) -> None:
    Path("cards.yaml").write_text("0: a red ball drops\n1:\n  words: a blue cube\n  picture: still.png\n")
    done = sorairo(*arguments, *QUICK, "-o", "made.mp4", "--json")
    assert done.code == 0, done.err
    values = json.loads(done.out)
    assert (values["path"], values["seed"], values["notes"]) == ("made.mp4", 1, [])
    assert values["frames"] == frames == len(read_video("made.mp4"))


def test_a_remix_takes_words_and_seed_from_the_file(sorairo: Callable[..., Done], given: None) -> None:
    values = json.loads(
        sorairo("remix", "a.mp4", "the ball is blue", "--model", "MODEL", "--steps", "1", "--json").out
    )
    assert (values["prompt"], values["seed"]) == ("a blue ball drops", 5)


@pytest.mark.parametrize("fps", [24, 25, 30])
def test_the_plan_names_clips_of_any_rate(sorairo: Callable[..., Done], fps: int) -> None:
    """As `show` needs to make it again: what a verb saw is what its file gives at the model's rate."""
    ramp = np.linspace(0, 255, 96)[None, None, :, None] * np.ones((2 * fps, 64, 1, 3))
    moved = np.stack([np.roll(frame, 2 * index, axis=1) for index, frame in enumerate(ramp)])
    write_video(Video(frames=moved.astype(np.uint8), fps=float(fps)), "cinema.mp4")
    done = sorairo("extend", "cinema.mp4", WORDS, "--frames", "4", *QUICK, "-o", "made.mp4")
    assert done.code == 0, done.err
    stored = read_plan("made.mp4")
    assert [(one.path, one.first, one.frames) for one in stored.known] == [("cinema.mp4", 0, 16)]
    (known,) = stored.whole().known
    assert np.array_equal(known.video.frames, read_given("cinema.mp4", stored.plan.size, 8.0).frames)


def test_a_variable_rate_keeps_its_time(sorairo: Callable[..., Done]) -> None:
    pictures = [Image.new("RGB", (64, 64), (shade, 0, 0)) for shade in (0, 80, 160, 240)]
    pictures[0].save("uneven.webp", save_all=True, append_images=pictures[1:], duration=[125, 500, 125, 250])
    done = sorairo("extend", "uneven.webp", WORDS, "--frames", "4", *QUICK, "-o", "made.mp4")
    assert done.code == 0, done.err
    (known,) = read_plan("made.mp4").whole().known
    assert [round(int(frame[0, 0, 0]) / 80) for frame in known.video.frames] == [0, 1, 1, 1, 1, 2, 3, 3]


def test_sound_stays_with_what_was_given(sorairo: Callable[..., Done], tmp_path: Path) -> None:
    beep = tone_file(tmp_path / "beep.mp4", 600)  # two seconds, loud in the second
    done = sorairo("extend", str(beep), WORDS, "--before", "--frames", "4", *QUICK, "-o", "made.mp4")
    assert done.code == 0, done.err
    assert loudness(Path("made.mp4"), 0.1, 1.4) < 0.01 < 0.1 < loudness(Path("made.mp4"), 1.6, 2.4)
    assert not has_sound(clip("a.mp4"))
    assert sorairo("edit", "a.mp4", WORDS, *QUICK, "-o", "quiet.mp4").code == 0
    assert not has_sound("quiet.mp4")


def test_settings_come_from_the_file_where_none_are_given(sorairo: Callable[..., Done]) -> None:
    first = ("generate", WORDS, "--model", "MODEL", "--frames", "9", "--seed", "7", "--steps", "2")
    assert sorairo(*first, "--guidance", "3", "--negative", "grey", "-o", "one.mp4").code == 0
    values = json.loads(sorairo("remix", "one.mp4", "now it is blue", "--model", "MODEL", "--json").out)
    assert [values[name] for name in ("seed", "steps", "guidance", "negative")] == [7, 2, 3.0, "grey"]
    again = ("recut", "one.mp4", "--keep", "0-0.5", "--model", "MODEL", "--steps", "1", "--json")
    values = json.loads(sorairo(*again).out)
    assert [values[name] for name in ("steps", "guidance", "negative")] == [1, 3.0, "grey"]


def test_a_storyboards_words_go_on(sorairo: Callable[..., Done]) -> None:
    Path("cards.yaml").write_text("0: a red ball drops\n1: a blue cube slides\n")
    assert sorairo("storyboard", "cards.yaml", "--frames", "13", *QUICK, "-o", "story.mp4").code == 0
    for more, words in (((), "a blue cube slides"), (("--before",), "a red ball drops")):
        made = sorairo("extend", "story.mp4", *more, "--frames", "4", *QUICK, "-o", "made.mp4", "--json")
        assert json.loads(made.out)["prompt"] == words


def test_a_colour_behind_what_is_transparent(sorairo: Callable[..., Done]) -> None:
    Image.new("RGBA", (64, 64), (0, 0, 0, 0)).save("glass.png")
    animate = ("animate", "glass.png", WORDS, "--frames", "5", *QUICK, "-o", "made.mp4", "--background")
    assert sorairo(*animate, "#0000ff").code == 0
    assert read_plan("made.mp4").known[0].background == "#0000ff"
    assert read_video("made.mp4").frames[0].mean((0, 1)) == pytest.approx([0, 0, 255], abs=4)
    assert "no colour" in sorairo(*animate, "bluish").err


BAD = {
    "no such file": (("extend", "none.mp4", WORDS), "does not exist"),
    "no words": (("extend", "b.mp4"), "say in words what happens"),
    "a clip to animate": (("animate", "a.mp4", WORDS), "extend it instead"),
    "a still to extend": (("extend", "still.png", WORDS), "still"),
    "a still to blend": (("blend", "still.png", "b.mp4", WORDS), "still"),
    "nothing to add": (("extend", "a.mp4", WORDS, "--frames", "0"), "cannot be added"),
    "an endless loop": (("loop", WORDS, "--frames", "5"), "at least 9"),
    "no region": (("edit", "a.mp4", WORDS, "--region", "big"), "x,y,width,height"),
    "a region outside": (("edit", "a.mp4", WORDS, "--region", "60,0,32,32"), "not inside"),
    "a strength of nothing": (("edit", "a.mp4", WORDS, "--strength", "0"), "strength"),
    "no span": (("recut", "a.mp4", "--keep", "all"), "1.0-2.5"),
    "a span outside": (("recut", "a.mp4", "--keep", "1-9"), "keep one inside"),
    "no such curve": (("blend", "a.mp4", "b.mp4", WORDS, "--curve", "round"), "smooth"),
    "no such size": (("animate", "still.png", WORDS, "--size", "641x480"), "nearest"),
    "a cut file": (("extend", "cut.mp4", WORDS), "cut"),
    "an empty file": (("extend", "empty.mp4", WORDS), "empty"),
}


@pytest.mark.parametrize(("arguments", "words"), BAD.values(), ids=BAD)
def test_bad_input(sorairo: Callable[..., Done], given: None, arguments: tuple[str, ...], words: str) -> None:
    Path("cut.mp4").write_bytes(Path("a.mp4").read_bytes()[:-200])
    Path("empty.mp4").write_bytes(b"")
    before = names(Path())
    done = sorairo(*arguments, "--model", "MODEL")
    assert done.code == 2 and words in done.err and "Traceback" not in done.err, done
    assert len([line for line in done.err.splitlines() if line.startswith("sorairo: ")]) == 1
    assert names(Path()) == before


def test_cards(tmp_path: Path) -> None:
    path = tmp_path / "cards.yaml"
    path.write_text(
        "# a story\n---\n0: \"A ball: it drops.\"\n\n1.5:\n    words: It rolls.\n    picture: b.png\n'2': On.\n"
    )
    assert read_cards(path) == [
        (0.0, "A ball: it drops.", None),
        (1.5, "It rolls.", tmp_path / "b.png"),
        (2.0, "On.", None),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0 A ball.", "line 1"),
        ("0: A.\nsoon: B.", "line 2"),
        ("0: A.\n  colour: red", "line 2"),
        ("  words: A.", "line 1"),
        ("0:\n  words: A.\n  words: B.", "line 3"),
        ("0:\n1: B.", "0 s is empty"),
        ("- 0: A.", "line 1"),
    ],
)
def test_cards_that_cannot_be_read(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "cards.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        read_cards(path)


def test_storyboards_that_cannot_be_read(sorairo: Callable[..., Done], tmp_path: Path) -> None:
    refused(sorairo("storyboard", "none.yaml", "--model", "MODEL"), "cannot be read", tmp_path)


@pytest.mark.parametrize("name", ["clip.m4v", "clip.avi", "clip.ts", "none/clip", "a.mp", "clip.MP4"])
def test_a_name_of_a_file_is_never_words(sorairo: Callable[..., Done], given: None, name: str) -> None:
    before = names(Path())
    if name == "a.mp":  # a typo of a suffix that is none: it is a file because it is there
        Path(name).write_bytes(b"no video")
        before = names(Path())
    done = sorairo("loop", name, "--model", "MODEL")
    assert done.code == 2 and name in done.err, done
    assert names(Path()) == before
    assert sorairo("extend", "a.mp4", "b.mp4", "--model", "MODEL").code == 2
    assert "name of a file" in sorairo("generate", "my clip.mov", "--model", "MODEL").err


@pytest.mark.parametrize(
    "more", [("-o", "x.png", "--sheet", "x.png"), ("-n", "2", "-o", "x.png", "--sheet", "./x-2.png")]
)
def test_one_path_for_two_outputs(
    sorairo: Callable[..., Done], tmp_path: Path, more: tuple[str, ...]
) -> None:
    refused(sorairo("generate", WORDS, "--model", "none", *more), "two outputs", tmp_path)
