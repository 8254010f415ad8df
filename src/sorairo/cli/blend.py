"""`sorairo blend`: one clip turns into another."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "blend"]

EXAMPLES = """\b
Examples:
  sorairo blend red.mp4 blue.mp4 -o turn.mp4
  sorairo blend ball.mp4 cube.mp4 "A ball turns into a cube." --curve late -o turn.mp4
"""


@with_options(
    size="Width and height in pixels; the model's size nearest to A's if not given.",
    seconds=None,
    frames=None,
)
def blend(
    options: Options,
    first: Annotated[Path, typer.Argument(metavar="A", help="What it begins like.", show_default=False)],
    last: Annotated[Path, typer.Argument(metavar="B", help="What it ends like.", show_default=False)],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What happens; if not given, the words that A was made from, then B's.",
            show_default=False,
        ),
    ] = None,
    curve: Annotated[
        str, typer.Option(metavar="NAME", help="When it turns: linear, smooth, early or late.")
    ] = "smooth",
) -> None:
    """Turn one clip into another, as long as the shorter of them."""
    make_videos(options, "blend", prompt, [first, last], curve=curve)
