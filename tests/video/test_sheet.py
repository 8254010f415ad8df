"""Words on contact sheets, in scripts for which this computer has a font and in those for which it has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sorairo.types import Video
from sorairo.video import contact_sheet
from sorairo.video.fonts import draw_line, face_for, line_length, missing_note, own_face, runs
from sorairo.video.sheet import wrapped

UNASSIGNED = "\u0378"  # no font has it


def needs_font(text: str) -> None:
    if any(face_for(character) is None for character in text):
        pytest.skip("this computer has no font for these characters")


def ink(text: str) -> np.ndarray:
    image = Image.new("RGB", (200, 24), "white")
    draw_line(image, (0, 0), text, (0, 0, 0))
    return np.asarray(image.convert("L")) < 128


@pytest.mark.parametrize(("text", "other"), [("红球落下", "蓝盒滚动"), ("كرة", "صند"), ("😀", "😂")])
def test_characters_are_shown_not_boxes(text: str, other: str) -> None:
    needs_font(text + other)
    assert ink(text).any() and not np.array_equal(ink(text), ink(other))
    assert not missing_note([text])


def test_words_of_one_script_stay_together() -> None:
    """Written from right to left: in parts, their order on the line would be turned around."""
    text = "كرة حمراء"
    needs_font(text)
    parts = list(runs(f"A ball {text} rolls"))
    assert [part.text for part in parts] == ["A ball", " ", text, " ", "rolls"]


def test_latin_keeps_its_font() -> None:
    (run,) = runs("A red ball, 3 times.")
    assert run.face == own_face()


def test_what_no_font_has_is_said() -> None:
    note = missing_note(["A ball", f"A {UNASSIGNED} ball {UNASSIGNED}"])
    assert note.count(UNASSIGNED) == 1 and "No font" in note


def test_lines_without_spaces_fit() -> None:
    needs_font("红球")
    for text in ("红色的球落在地板上。弹起来然后滚到盒子旁边。" * 3, "a" * 200, "a ball " * 20):
        lines = wrapped(text, 160)
        assert max(map(line_length, lines)) <= 160
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
        assert not any(line[0] in "。" for line in lines)


def test_a_sheet_in_another_script(tmp_path: Path) -> None:
    video = Video(frames=np.zeros((2, 32, 32, 3), np.uint8), fps=8.0)
    contact_sheet([video, video], ["红球", ""], tmp_path / "a.png", frames_per=2)
    with Image.open(tmp_path / "a.png") as image:
        assert image.width > 160
