"""`sorairo upscale`: a clip or a picture at twice its size."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "upscale"]

EXAMPLES = """\b
Examples:
  sorairo upscale ball.mp4 -o large.mp4
  sorairo upscale still.png -o large.png
"""

MAKING = (
    "model",
    "size",
    "seconds",
    "frames",
    "seed",
    "number",
    "steps",
    "guidance",
    "negative",
    "style",
    "expand",
    "expand_url",
    "expand_model",
    "fit",
    "upscale",
    "lora",
    "loose",
    "cache",
    "compile",
    "memory",
    "dtype",
)
"""Options of verbs that make frames, which this one leaves out."""


@with_options(**dict.fromkeys(MAKING))
def upscale(
    options: Options,
    clip: Annotated[
        Path, typer.Argument(metavar="FILE", help="The clip or picture to enlarge.", show_default=False)
    ],
) -> None:
    """Double the width and height of a clip or a picture. It needs no model and makes no new frame."""
    make_videos(options, "upscale", None, [clip])
