"""`sorairo edit`: a clip under other words, all of it or a region."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options
from sorairo.types import UserError

__all__ = ["EXAMPLES", "edit"]

EXAMPLES = """\b
Examples:
  sorairo edit ball.mp4 "A blue ball drops onto the floor and bounces." --strength 0.6 -o blue.mp4
  sorairo edit ball.mp4 "A clear blue sky." --region 0,0,96,32 -o sky.mp4
"""


@with_options(
    size="Width and height in pixels. Default: the model's size nearest to CLIP.",
    seconds=None,
    frames=None,
)
def edit(
    options: Options,
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="A clip or a picture.", show_default=False)],
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="What should be seen.", show_default=False)],
    strength: Annotated[
        float, typer.Option(metavar="0..1", help="How much may change; 1 keeps nothing of CLIP.")
    ] = 0.6,
    region: Annotated[
        str | None,
        typer.Option(metavar="x,y,w,h", help="Change only this rectangle, in pixels of the output."),
    ] = None,
) -> None:
    """Change a clip by words. With --region everything outside it is kept unchanged."""
    make_videos(options, "edit", prompt, [clip], strength=strength, region=parsed_region(region))


def parsed_region(text: str | None) -> tuple[int, int, int, int] | None:
    """(x, y, width, height) of "x,y,w,h"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,5}),(\d{1,5}),(\d{1,5}),(\d{1,5})", text.replace(" ", ""))
    if not found:
        raise UserError(f"A region is x,y,width,height in pixels, such as 0,0,48,96, not {text!r}.")
    x, y, w, h = (int(number) for number in found.groups())
    return x, y, w, h
