"""`sorairo animate`: a picture to a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "animate"]

EXAMPLES = """\b
Examples:
  sorairo animate ball.png "The red ball rolls to the right." -o roll.mp4
  sorairo animate photo.jpg "The cube slides to the left." --seconds 3 -n 4 --sheet four.png
"""


@with_options(size="Width and height in pixels. Default: the model's size nearest to IMAGE.")
def animate(
    options: Options,
    image: Annotated[Path, typer.Argument(metavar="IMAGE", help="The first frame.", show_default=False)],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What happens.", show_default=False)],
) -> None:
    """Make a picture move. It is kept as the first frame."""
    make_videos(options, "animate", prompt, [image])
