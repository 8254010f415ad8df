"""`sorairo connect`: from one clip to another without a cut."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "connect"]

EXAMPLES = """\b
Examples:
  sorairo connect first.mp4 last.mp4 "The red ball rolls to the right." --seconds 2 -o whole.mp4
  sorairo connect start.png end.png "The blue cube slides to the left." -o between.mp4
"""


@with_options(
    size="Width and height in pixels. Default: the model's size nearest to A.",
    seconds="Seconds between A and B, rounded to whole steps of the model.",
    frames="Frames between A and B, instead of --seconds.",
)
def connect(
    options: Options,
    first: Annotated[
        Path, typer.Argument(metavar="A", help="The clip or picture at the beginning.", show_default=False)
    ],
    last: Annotated[
        Path, typer.Argument(metavar="B", help="The clip or picture at the end.", show_default=False)
    ],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What happens.", show_default=False)],
) -> None:
    """Make the frames between two clips or pictures. Both are kept unchanged."""
    make_videos(options, "connect", prompt, [first, last])
