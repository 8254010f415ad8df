"""`sorairo storyboard`: cards on a timeline to a video file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options
from sorairo.types import UserError

__all__ = ["EXAMPLES", "read_cards", "storyboard"]

EXAMPLES = """\b
cards.yaml has one card a line: the time at which it begins, in seconds or as minutes:seconds, then words.
A card can have a picture too, which becomes the frame at that time.
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


@with_options(seconds="Length of the output. Default: the last card has the model's usual length.")
def storyboard(
    options: Options,
    cards: Annotated[Path, typer.Argument(metavar="CARDS.yaml", help="A file of cards.", show_default=False)],
) -> None:
    """Make a video from cards: words and pictures, each at its time."""
    said = read_cards(cards)
    pictures = [picture for _, _, picture in said if picture]
    numbers = iter(range(len(pictures)))
    board = [
        {"at": at, "words": words, "picture": next(numbers) if picture else None}
        for at, words, picture in said
    ]
    make_videos(options, "storyboard", None, pictures, cards=board)


def read_cards(path: Path) -> list[tuple[float, str | None, Path | None]]:
    """(second, words, picture) of every card.

    The file is a strict part of YAML: lines of "TIME: WORDS", or "TIME:" and, indented under it, "words:" and
    "picture:". TIME is seconds, minutes:seconds or hours:minutes:seconds. "#" begins a comment line. A picture's path
    is from the folder of the cards. Raises UserError that names the line.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a file of cards.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8; save it in UTF-8.") from error
    cards: list[tuple[float, dict[str, str]]] = []
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.lstrip().startswith("#") or line.strip() == "---":
            continue
        if line[0] not in " \t" and (found := CARD.fullmatch(line.strip())):
            value = unquoted(found["words"] or "")
            cards.append(
                (seconds(found["time"], f"{path}, line {number}"), {"words": value} if value else {})
            )
            continue
        key, _, value = line.strip().partition(":")
        value = unquoted(value.strip())
        if line[0] in " \t" and cards and key in ("words", "picture") and value and key not in cards[-1][1]:
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


CARD = re.compile(
    r"""(?P<quote>["']?)(?P<time>(?:\d+:){0,2}\d*\.?\d+|\d+\.)(?P=quote)\s*:(?!\d)\s*(?P<words>.*)"""
)
"""A card's line. A digit right after the colon would leave it open whether it belongs to the time."""


def seconds(time: str, where: str) -> float:
    """The seconds of a time such as 2.5, 1:30 or 1:02:03. Raises UserError, which begins with `where`."""
    first, *rest = (float(part) for part in time.split(":"))
    if any(part >= 60 for part in rest):
        raise UserError(f"{where}: {time} is no time; minutes and seconds after a colon are below 60.")
    for part in rest:
        first = 60 * first + part
    return first


def unquoted(text: str) -> str:
    return text[1:-1] if len(text) > 1 and text[0] == text[-1] and text[0] in "\"'" else text
