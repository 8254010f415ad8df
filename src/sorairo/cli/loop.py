"""`sorairo loop`: a clip without an end."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos, words_for
from sorairo.cli.options import Options, with_options

__all__ = ["EXAMPLES", "loop"]

FILES = {".mp4", ".webm", ".mov", ".mkv", ".gif", ".webp", ".png", ".jpg", ".jpeg"}
"""A single argument that ends so is a file, any other is words."""

EXAMPLES = """\b
Examples:
  sorairo loop "A blue ball swings on a string." --seconds 2 -o swing.gif
  sorairo loop ball.mp4 "The red ball rolls back to the left." --seconds 1 -o endless.mp4
  sorairo loop ball.mp4 --free --seconds 1 -o by_itself.mp4
"""


@with_options(
    seconds="Length of the loop, or of the way back that is added to a clip.",
    frames="Length in frames, in place of seconds.",
)
def loop(
    options: Options,
    subject: Annotated[
        str, typer.Argument(metavar="CLIP|PROMPT", help="A file, or what happens.", show_default=False)
    ],
    prompt: Annotated[
        str | None,
        typer.Argument(
            metavar="PROMPT",
            help="With CLIP: what happens; if not given, the words that it was made from.",
            show_default=False,
        ),
    ] = None,
    free: Annotated[
        bool,
        typer.Option("--free", help="Make the way back out of nothing, not of the way there in reverse."),
    ] = False,
) -> None:
    """Make a loop from words, or lead a clip back to its beginning."""
    from sorairo import tasks

    path = Path(subject)
    if prompt is None and path.suffix.lower() not in FILES:
        make_videos(options, lambda model, ask, given: tasks.loop(None, subject, model, ask, free=free))
        return
    words = words_for(prompt, path, slice(-1, None))
    make_videos(options, lambda model, ask, given: tasks.loop(given[0], words, model, ask, free=free), [path])
