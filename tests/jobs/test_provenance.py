"""Where frames came from is carried from the file to the sound and to the record, and never guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sorairo
from sorairo import tasks
from sorairo.checkpoints.digest import weights_digest
from sorairo.jobs.plans import plan_to_dict, read_plan
from sorairo.jobs.source import Source, kept_sounds
from sorairo.safety.streams import stream_digests
from sorairo.safety.verify import verify
from sorairo.types import Known, Plan, Span, UserError, Video
from sorairo.video import has_sound, read_metadata, write_video
from tests.cli.test_generate_command import Done
from tests.cli.test_generate_command import sorairo as command  # the fixture  # noqa: F401
from tests.video.test_sound import loudness, tone_file

WORDS = "a red ball rolls"
QUICK = ("--model", "MODEL", "--steps", "1", "--seed", "1")


@pytest.fixture
def model(tiny_folder: Path) -> sorairo.jobs.model.Model:  # pyright: ignore
    return sorairo.load(tiny_folder, "fp32")


def still_with_click(path: Path, at: float, seconds: float = 3.0, colour: int = 90) -> Path:
    """A clip of one picture throughout, with a tone of a tenth of a second at `at`."""
    frames = np.full((round(8 * seconds), 64, 64, 3), colour, np.uint8)
    track = np.zeros((2, round(48_000 * seconds)), np.float32)
    place = slice(round(48_000 * at), round(48_000 * (at + 0.1)))
    track[:, place] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(4800) / 48_000)
    write_video(Video(frames=frames, fps=8.0), path, track=track)
    return path


def test_a_still_scene_keeps_its_sound_in_place(command: Callable[..., Done], tmp_path: Path) -> None:  # noqa: F811
    """Its frames are all alike, so frames say nothing of when they were."""
    clip = still_with_click(tmp_path / "static.mp4", 1.5)
    done = command("recut", str(clip), WORDS, "--keep", "1-2", "--seconds", "3", *QUICK, "-o", "made.mp4")
    assert done.code == 0, done.err
    (known,) = read_plan("made.mp4").known
    assert (known.first, known.frames) == (8, 8)
    start = known.at / 8 + 0.5
    assert loudness(Path("made.mp4"), start, start + 0.1) > 0.1
    assert loudness(Path("made.mp4"), 0, start - 0.05) < 0.01


def test_clips_of_equal_pictures_are_told_apart(command: Callable[..., Done], tmp_path: Path) -> None:  # noqa: F811
    first = still_with_click(tmp_path / "a.mp4", 0.5, 1.0)
    last = still_with_click(tmp_path / "b.mp4", 0.1, 1.0)
    done = command("connect", str(first), str(last), WORDS, "--frames", "4", *QUICK, "-o", "made.mp4")
    assert done.code == 0, done.err
    stored = read_plan("made.mp4")
    assert [one.path for one in stored.known] == [str(first), str(last)]
    at = stored.known[1].at / 8
    assert loudness(Path("made.mp4"), 0.5, 0.6) > 0.1 > 0.01 > loudness(Path("made.mp4"), 0.1, 0.2)
    assert (
        loudness(Path("made.mp4"), at + 0.1, at + 0.2)
        > 0.1
        > 0.01
        > loudness(Path("made.mp4"), at + 0.5, at + 0.6)
    )


def test_computed_frames_have_no_file(tmp_path: Path, model) -> None:
    """Frames that were mixed, reversed or resized stand in no file, even where they look like those of one."""
    source = Source.open(still_with_click(tmp_path / "a.mp4", 0.5, 1.2))
    video = source.video((64, 64), 8.0)
    assert video.origin is not None and video.part(3, 5).origin.first == 3  # pyright: ignore
    looped = tasks.loop(video, WORDS, model.abilities, tasks.Ask(frames=4))
    assert [known.video.origin is None for known in looped.known] == [False, True]
    blended = tasks.blend(video, video, (WORDS, WORDS), model.abilities)
    assert [known.video.origin is None for known in blended.known] == [False, True, False]
    assert blended.known[0].video.origin.first == 0  # pyright: ignore
    other = tasks.edit(video, WORDS, model.abilities, tasks.Ask(size=(96, 64)))
    assert other.known[0].video.origin is None and kept_sounds(other) == []


def test_python_and_the_command_line_write_the_same_record(
    command: Callable[..., Done],  # noqa: F811
    tmp_path: Path,
    tiny_folder: Path,
    model,
) -> None:
    beep = tone_file(tmp_path / "beep.mp4", 600)
    done = command("extend", str(beep), WORDS, "--frames", "4", "--model", str(tiny_folder), "--dtype", "fp32",
                   "--steps", "1", "--seed", "1", "-o", "line.mp4")  # fmt: skip
    assert done.code == 0, done.err
    model.extend(beep, WORDS, frames=4, steps=1, seed=1).save("python.mp4")
    assert read_metadata("python.mp4") == read_metadata("line.mp4")
    # the signatures differ, by random numbers that ECDSA must draw: all that is signed is equal
    assert stream_digests(Path("python.mp4")) == stream_digests(Path("line.mp4"))
    assert verify(Path("python.mp4")).made == verify(Path("line.mp4")).made
    assert has_sound("python.mp4") and read_plan("python.mp4").whole().known


@pytest.mark.parametrize(
    "verb", ["generate", "animate", "loop", "connect", "edit", "recut", "remix", "blend"]
)
def test_every_verb_from_python(verb: str, tmp_path: Path, model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    clip = model.generate(WORDS, frames=9, steps=1)
    clip.save("a.mp4")
    few = {"steps": 1}
    made = {
        "generate": lambda: clip,
        "animate": lambda: model.animate(
            Video(frames=clip.video.frames[:1], fps=8.0), WORDS, frames=5, **few
        ),
        "loop": lambda: model.loop("a.mp4", frames=4, **few),
        "connect": lambda: model.connect("a.mp4", "a.mp4", WORDS, frames=4, **few),
        "edit": lambda: model.edit("a.mp4", WORDS, strength=0.5, upscale=2, **few),
        "recut": lambda: model.recut("a.mp4", keep=(0, 0.5), **few),
        "remix": lambda: model.remix("a.mp4", "now it is blue", **few),
        "blend": lambda: model.blend("a.mp4", "a.mp4", WORDS, **few),
    }[verb]()
    made.save(f"{verb}.webp")
    stored = read_plan(f"{verb}.webp")
    assert stored.model == "tiny" and stored.threads > 0 and stored.dtype == "fp32"
    files = {"animate": [""], "generate": [], "edit": [], "remix": [], "connect": ["a.mp4"] * 2}
    files["blend"] = files["connect"]
    assert [one.path for one in stored.known if one.hold == 1] == files.get(verb, ["a.mp4"])


def test_a_board_from_python(model) -> None:
    picture = Video(frames=np.zeros((1, 64, 64, 3), np.uint8), fps=1.0)
    cards = [tasks.Card(at=0, words=WORDS), tasks.Card(at=1, picture=picture)]
    assert not model.storyboard(cards, frames=13, steps=1).video.frames[8].any()


def test_an_output_over_its_own_input(command: Callable[..., Done], tmp_path: Path) -> None:  # noqa: F811
    """Both outputs have the sound of the file that was there first, and both say that it is gone."""
    still_with_click(tmp_path / "out-1.mp4", 0.5, 1.0)
    for number in (1, 2):
        done = command("extend", "out-1.mp4", WORDS, "--frames", "4", *QUICK, "-n", "2", "-o", "out.mp4")
        assert done.code == 0, done.err
        if number == 1:
            for name in ("out-1.mp4", "out-2.mp4"):
                assert loudness(Path(name), 0.5, 0.6) > 0.1
                assert read_plan(name).known[0].replaced
                with pytest.raises(UserError, match=r"out-1\.mp4 was overwritten"):
                    read_plan(name).whole()
            assert "it cannot be made again" in command("show", "out-2.mp4").out
    assert command("extend", "out-1.mp4", WORDS, "--frames", "4", *QUICK, "-o", "./../x.mp4").code in (0, 2)


def test_an_input_that_changes_while_it_is_read(tmp_path: Path) -> None:
    source = Source.open(still_with_click(tmp_path / "a.mp4", 0.5, 1.0))
    source.check_unchanged()
    still_with_click(tmp_path / "a.mp4", 0.2, 1.0, colour=30)
    with pytest.raises(UserError, match="was changed while it was read"):
        source.check_unchanged()
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(UserError, match="put it back"):
        source.check_unchanged()


def test_a_link_to_the_input_is_the_input(tmp_path: Path) -> None:
    clip = still_with_click(tmp_path / "a.mp4", 0.5, 1.0)
    (tmp_path / "b.mp4").symlink_to(clip)
    video = Source.open(clip).video((64, 64), 8.0)
    plan = Plan(
        size=(64, 64), frames=12, fps=8.0, spans=(Span(text=WORDS),), seed=0, known=(Known(video=video),)
    )
    assert plan_to_dict(plan, [tmp_path / "b.mp4"])["known"][0]["replaced"] is True
    assert "replaced" not in plan_to_dict(plan, [tmp_path / "c.mp4"])["known"][0]


def test_keeps_others_metadata_out(command: Callable[..., Done], tmp_path: Path) -> None:  # noqa: F811
    """A node graph under "prompt" is not words, and a plan of another program is not one of ours."""
    frames = Video(frames=np.zeros((9, 64, 64, 3), np.uint8), fps=8.0)
    plan = plan_to_dict(Plan(size=(64, 64), frames=9, fps=8.0, spans=(Span(text=WORDS),), seed=3))
    others: list[dict] = [
        {"prompt": '{"0": {"class_type": "K"}}', "workflow": {}},
        {"prompt": "a red ball", "seed": 5},
        {"plan": plan, "software": "Other 1.0"},
        {"plan": plan, "software": "sorairoish 1"},
        {"plan": plan, "software": 3},
        {"plan": {"nodes": []}},
        {"plan": plan | {"version": 2}},
    ]
    for facts in others:
        write_video(frames, tmp_path / "other.mp4", facts)
        done = command("extend", "other.mp4", "--frames", "4", *QUICK)
        assert done.code == 2 and "say in words what happens" in done.err, facts
        assert "carries no plan" in command("show", "other.mp4").err
    for facts in ({"plan": plan}, {"plan": plan, "software": "sorairo 0.1.0"}):
        write_video(frames, tmp_path / "ours.mp4", facts)
        assert command("show", "ours.mp4").code == 0


def test_the_hash_of_a_model_covers_parts_that_are_links(tmp_path: Path) -> None:
    """A student shares its teacher's codec by a link to a folder."""
    (tmp_path / "shared").mkdir()
    weights = tmp_path / "shared" / "model.safetensors"
    weights.write_bytes(b"one")
    model = tmp_path / "model"
    model.mkdir()
    (model / "vae").symlink_to("../shared", target_is_directory=True)
    before = weights_digest(model)
    weights.write_bytes(b"another")
    assert weights_digest(model) != before
