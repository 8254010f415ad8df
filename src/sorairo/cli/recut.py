"""`sorairo recut`: keep a span of a clip, and replace both sides."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options
from sorairo.types import UserError

__all__ = ["EXAMPLES", "recut"]

EXAMPLES = """\b
Examples:
  sorairo recut ball.mp4 --keep 1.0-2.0 --seconds 4 -o recut.mp4
  sorairo recut ball.mp4 "The red ball rolls to the left." --keep 0.5-1.5 -o recut.mp4
"""


@with_options(
    size="Width and height in pixels. Default: the model's size nearest to CLIP.",
    seconds="Length of the output. Default: that of CLIP.",
)
def recut(
    options: Options,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="The clip with the span.", show_default=False)],
    keep: Annotated[
        str, typer.Option(metavar="A-B", help="The span to keep, in seconds of CLIP.", show_default=False)
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="What happens. Default: the words of CLIP.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Keep a span of a clip unchanged, and replace the rest."""
    make_videos(options, "recut", prompt, [clip], keep=parsed_span(keep))


def parsed_span(text: str) -> tuple[float, float]:
    """(from, to) in seconds of "1.0-2.5"."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)-(\d+(?:\.\d+)?)", text.replace(" ", ""))
    if not found:
        raise UserError(f"--keep takes FROM-TO in seconds, such as 1.0-2.5, not {text!r}.")
    return float(found[1]), float(found[2])
