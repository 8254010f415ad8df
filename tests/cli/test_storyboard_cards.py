"""The file of a storyboard's cards: times, and files as editors save them."""

from __future__ import annotations

from pathlib import Path

import pytest

from sorairo.cli.storyboard import read_cards
from sorairo.types import UserError


def cards(folder: Path, text: str | bytes) -> list[tuple[float, str | None]]:
    path = folder / "cards.yaml"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return [(at, words) for at, words, _ in read_cards(path)]


def test_a_byte_order_mark_and_windows_lines(tmp_path: Path) -> None:
    assert cards(tmp_path, b"\xef\xbb\xbf0: A ball.\r\n2: A cube.\r\n") == [(0, "A ball."), (2, "A cube.")]


@pytest.mark.parametrize(
    ("line", "card"),
    [
        ("1:30: A ball.", (90, "A ball.")),
        ("0:05: A ball.", (5, "A ball.")),
        ("1:02:03.5: A ball.", (3723.5, "A ball.")),
        ("'1:30': A ball: red.", (90, "A ball: red.")),
        ("2.5 : 3 balls", (2.5, "3 balls")),
        (".5: A ball.", (0.5, "A ball.")),
        ("0:A ball.", (0, "A ball.")),
        ("1:30:A ball.", (90, "A ball.")),
        ('0: "A ball."', (0, "A ball.")),
    ],
)
def test_times(tmp_path: Path, line: str, card: tuple[float, str]) -> None:
    assert cards(tmp_path, line) == [card]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1:30 A ball.", "line 1: write a card as"),
        ("0: A ball.\n1:75: A cube.", "line 2: 1:75 is no time"),
        ("-1: A ball.", "line 1: write"),
        ("nan: A ball.", "line 1: write"),
        ("A ball.", "line 1: write"),
        ("0: A ball.".encode("utf-16"), "not text in UTF-8"),
    ],
)
def test_what_is_refused(tmp_path: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(UserError, match=words):
        cards(tmp_path, text)
