"""`sorairo storyboard`: cards on a timeline to a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options
from sorairo.types import UserError

__all__ = ["EXAMPLES", "read_cards", "storyboard"]

EXAMPLES = """\b
cards.yaml has a card a line, by the second at which it begins: words, a picture, or both.
  0: A red ball drops onto the floor and bounces.
  2.0: The red ball rolls to the left.
  4.0:
    words: The red ball rolls to the right.
    picture: ball.png
\b
Examples:
  sorairo storyboard cards.yaml -o story.mp4
  sorairo storyboard cards.yaml --seconds 8 --seed 3 --sheet story.png
"""


@with_options(seconds="Length of the whole; the last card has the model's own length if not given.")
def storyboard(
    options: Options,
    cards: Annotated[Path, typer.Argument(metavar="CARDS.yaml", help="The cards.", show_default=False)],
) -> None:
    """Make a video from cards: what happens from which second on, and pictures to come by."""
    said = read_cards(cards)
    pictures = [picture for _, _, picture in said if picture]
    numbers = iter(range(len(pictures)))
    board = [
        {"at": at, "words": words, "picture": next(numbers) if picture else None}
        for at, words, picture in said
    ]
    make_videos(options, "storyboard", None, pictures, cards=board)


def read_cards(path: Path) -> list[tuple[float, str | None, Path | None]]:
    """(second, words, picture) of every card. A strict part of YAML: "SECONDS: WORDS" lines, or "SECONDS:" and,
    indented under it, "words:" and "picture:"; "#" begins a comment line. A picture's path is from the folder of
    the cards. Raises UserError that names the line."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path} cannot be read as text; give a file of cards.") from error
    cards: list[tuple[float, dict[str, str]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        key, colon, value = line.strip().partition(":")
        value = unquoted(value.strip())
        if line[0] not in " \t" and colon and (second := seconds(key)) is not None:
            cards.append((second, {"words": value} if value else {}))
        elif line[0] in " \t" and cards and key in ("words", "picture") and value and key not in cards[-1][1]:
            cards[-1][1][key] = value
        else:
            raise UserError(f"{path}, line {number}: write a card as SECONDS: WORDS, not {line.strip()!r}.")
    for second, card in cards:
        if not card:
            raise UserError(f"{path}: the card at {second:g} s is empty; give it words or a picture.")
    return [
        (second, card.get("words"), path.parent / card["picture"] if "picture" in card else None)
        for second, card in cards
    ]


def seconds(text: str) -> float | None:
    """The number that a card begins with, None if it is none."""
    try:
        return float(unquoted(text.strip()))
    except ValueError:
        return None


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
