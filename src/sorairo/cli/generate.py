"""`sorairo generate`: words to a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["generate"]

EXAMPLES = """\b
Examples:
  sorairo generate "A red ball drops onto the floor and bounces."
  sorairo generate "A blue cube slides to the left." --seconds 4 -o slide.gif
  sorairo generate "A green cylinder rolls to the right." --size 128x96 --seed 7 -n 4 --sheet rolls.png
  sorairo generate "A red ball rolls to the right." --scene scene.json
  sorairo generate "A yellow cone on a slate floor." --frames 1 -o still.png
"""


@with_options(
    seconds="Length in seconds, rounded. Clips longer than the model's longest are made in windows.",
    fit=None,
)
def generate(
    options: Options,
    prompt: Annotated[
        str, typer.Argument(metavar="PROMPT", help="What happens, in words.", show_default=False)
    ],
    scene: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.json",
            help="Where things are and how the camera moves, from `sorairo scene`. For models that draw scenes.",
        ),
    ] = None,
) -> None:
    """Make a video from words."""
    if scene is None:
        return make_videos(options, "generate", prompt)
    from sorairo.scenes.script import read_scene

    make_videos(options, "generate", prompt, scene=read_scene(scene))
