"""`sorairo loop`: a clip without an end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "loop"]

EXAMPLES = """\b
Examples:
  sorairo loop "A blue ball swings on a string." --seconds 2 -o swing.gif
  sorairo loop ball.mp4 "The red ball rolls back to the left." --seconds 1 -o endless.mp4
  sorairo loop ball.mp4 --free --seconds 1 -o by_itself.mp4
"""


@with_options(
    seconds="Length of the loop, or of the way back that is added to CLIP.",
    frames="Length in frames, instead of --seconds.",
)
def loop(
    options: Options,
    subject: Annotated[
        str,
        typer.Argument(metavar="CLIP|PROMPT", help="A clip, or what happens in words.", show_default=False),
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="With CLIP: what happens. Default: the words of CLIP.",
            show_default=False,
        ),
    ] = None,
    free: Annotated[
        bool,
        typer.Option("--free", help="Make the way back freely, not from the clip played in reverse."),
    ] = False,
) -> None:
    """Make a loop from words, or add frames that lead a clip back to its beginning."""
    from sorairo.jobs.request import looks_like_file

    if prompt is not None or looks_like_file(subject) or is_there(subject):
        make_videos(options, "loop", prompt, [subject], free=free)
    else:
        make_videos(options, "loop", subject, free=free)


def is_there(name: str) -> bool:
    """Whether there is a file of that name; a long text is none."""
    try:
        return Path(name).exists()
    except (OSError, ValueError):
        return False
