"""`sorairo extend`: a clip that goes on, or begins earlier."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "extend"]

EXAMPLES = """\b
Examples:
  sorairo extend ball.mp4 "The red ball bounces and lies still." --seconds 2 -o longer.mp4
  sorairo extend ball.mp4 --before --seconds 1 -o earlier.mp4
"""


@with_options(
    size="Width and height in pixels. Default: the model's size nearest to CLIP.",
    seconds="Seconds to add, rounded to whole steps of the model.",
    frames="Frames to add, instead of --seconds.",
)
def extend(
    options: Options,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="The clip to extend.", show_default=False)],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What happens. Default: the words of CLIP.",
            show_default=False,
        ),
    ] = None,
    before: Annotated[bool, typer.Option("--before", help="Add at the beginning.")] = False,
) -> None:
    """Make a clip longer. Its frames are kept unchanged."""
    make_videos(options, "extend", prompt, [clip], before=before)
