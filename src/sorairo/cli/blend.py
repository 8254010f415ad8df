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
    size="Width and height in pixels. Default: the model's size nearest to A.",
    seconds=None,
    frames=None,
)
def blend(
    options: Options,
    first: Annotated[
        Path, typer.Argument(metavar="A", help="The clip at the beginning.", show_default=False)
    ],
    last: Annotated[Path, typer.Argument(metavar="B", help="The clip at the end.", show_default=False)],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What happens. Default: the words of A, then those of B.",
            show_default=False,
        ),
    ] = None,
    curve: Annotated[
        str, typer.Option(metavar="NAME", help="When A turns into B: linear, smooth, early or late.")
    ] = "smooth",
) -> None:
    """Turn one clip into another. The output is as long as the shorter one."""
    make_videos(options, "blend", prompt, [first, last], curve=curve)
