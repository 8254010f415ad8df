"""`sorairo generate`: words to a video file."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Annotated

import typer

from sorairo.cli.making import make_videos
from sorairo.cli.options import Options, with_options
from sorairo.cli.outcome import numbered
from sorairo.cli.pictures import ClassAsk, make_pictures
from sorairo.types import UserError

__all__ = ["generate"]

EXAMPLES = """\b
Examples:
  sorairo generate "A red ball drops onto the floor and bounces."
  sorairo generate "A blue cube slides to the left." --seconds 4 -o slide.gif
  sorairo generate "A green cylinder rolls to the right." --size 128x96 --seed 7 -n 4 --sheet rolls.png
  sorairo generate "A yellow cone on a slate floor." --frames 1 -o still.png
  sorairo generate --model dit-xl-2-256 --class "golden retriever" -o dog.png
"""


@with_options(
    seconds="Length; the nearest that can be made. What is longer than the model makes at once is made in windows.",
    fit=None,
    out="Ends in .mp4, .gif, .webp or .png; out.png with --class.",
)
def generate(
    options: Options,
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What happens, in words.", show_default=False)
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="A picture of this class, by a DiT; in place of PROMPT."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="ddim|ddpm", help="With --class; the model's own if not given.")
    ] = None,
) -> None:
    """Make a video from words."""
    if prompt is not None and label is None:
        make_videos(options, "generate", prompt)
    elif label is not None and prompt is None:
        pictures(options, label, sampler)
    else:
        raise typer.BadParameter("Missing argument PROMPT (or --class, not both)")


def pictures(options: Options, label: str, sampler: str | None) -> None:
    """Pictures of a class, by a DiT."""
    refused = (
        "size seconds frames negative style expand expand_url expand_model lora cache compile memory upscale"
    )
    for option in refused.split():
        if getattr(options, option):
            raise UserError(
                f"--{option.replace('_', '-')} does not go with --class: a DiT makes one picture of its own size."
            )
    ask = ClassAsk(
        label=label, steps=options.steps, guidance=options.guidance, sampler=sampler, dtype=options.dtype
    )
    request = options.request("generate", None, (), {})
    first = secrets.randbelow(2**31) if request.seed is None else request.seed
    paths = numbered(options.out or Path("out.png"), request.number)
    make_pictures(
        options.model, ask, range(first, first + options.number), paths, options.sheet, options.as_json
    )
