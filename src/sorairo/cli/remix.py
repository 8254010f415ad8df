"""`sorairo remix`: say what should be different about a clip that was made here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "remix"]

EXAMPLES = """\b
Examples:
  sorairo remix ball.mp4 "now the ball is blue" -o blue.mp4
  sorairo remix ball.mp4 "a sunset sky" --strength 0.8 -n 4 --sheet four.png
"""


@with_options(
    size="Width and height in pixels. Default: those of CLIP.",
    seconds=None,
    frames=None,
    seed="The same seed gives the same video. Default: the seed of CLIP.",
)
def remix(
    options: Options,
    clip: Annotated[
        Path, typer.Argument(metavar="CLIP", help="A clip that Sorairo made.", show_default=False)
    ],
    change: Annotated[
        str, typer.Argument(metavar="CHANGE", help="What is different now, in words.", show_default=False)
    ],
    strength: Annotated[
        float, typer.Option(metavar="0..1", help="How much may change; 1 keeps nothing of CLIP.")
    ] = 0.9,
) -> None:
    """Change one thing about a clip. Its other words stay."""
    make_videos(options, "remix", change, [clip], strength=strength)
