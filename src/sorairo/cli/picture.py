"""`sorairo picture`: pictures of a named class, by a DiT."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sorairo.cli.outcome import numbered, report
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.jobs.run import Result

__all__ = ["EXAMPLES", "picture"]

EXAMPLES = """\b
Examples:
  sorairo picture "golden retriever" -o dog.png
  sorairo picture 207 -n 4 --seed 1 --steps 250 --sampler ddpm --sheet dogs.png -o dog.png
"""


def picture(
    label: Annotated[
        str, typer.Argument(metavar="CLASS", help="Name or number of the class.", show_default=False)
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FOLDER", help="Name or folder of a DiT.")
    ] = "dit-xl-2-256",
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed gives the same picture. Default: random.")
    ] = None,
    number: Annotated[
        int,
        typer.Option("-n", metavar="K", help="Make K pictures with consecutive seeds: out-1.png, ..."),
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Denoising steps. Default: 50 with ddim, 250 with ddpm.")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(metavar="G", help="How closely to follow the class; 1 is off. Default: 4."),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="ddim|ddpm", help="The sampler. Default: the model's.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="auto|bf16|fp32", help="Precision; auto is the fastest on this machine.")
    ] = "auto",
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="FILE", help="The output: .png, .webp, .gif or .mp4.")
    ] = Path("out.png"),
    sheet: Annotated[
        Path | None, typer.Option(metavar="FILE.png", help="Also write a contact sheet.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Make a picture of a named class with a DiT."""
    from sorairo.cli.progress import Stages
    from sorairo.jobs.record import check_outputs

    if number < 1:
        raise UserError(f"-n must be 1 or more, not {number}.")
    first, paths = secrets.randbelow(2**31) if seed is None else seed, numbered(out, number)
    check_outputs(paths, sheet)
    results: list[Result] = []
    stages, written = Stages(), None
    try:
        with stages:
            stages("load")
            from sorairo.checkpoints.folder import compute_dtype, find_folder
            from sorairo.dit.folder import load_class_model
            from sorairo.dit.generate import generate_images
            from sorairo.jobs.making import UNSIGNED, making_of
            from sorairo.jobs.record import clip_of, write, write_sheet
            from sorairo.jobs.run import Result as Made
            from sorairo.safety.identity import can_sign

            folder = find_folder(model)
            loaded = load_class_model(folder, compute_dtype(dtype))
            making = making_of("picture", folder)
            if not can_sign():
                stages.say(UNSIGNED)
            for number, path in enumerate(paths):
                (sample,) = generate_images(
                    loaded,
                    label,
                    [first + number],
                    steps=steps,
                    guidance=guidance,
                    sampler=sampler,
                    progress=stages,
                )
                clip = clip_of(sample, making=making)
                record = write(clip, path, [*paths, *([sheet] if sheet else [])])
                results.append(Made(path=path, sample=clip, record=record, rewrites=[]))
            if sheet:
                write_sheet(sheet, [result.sample for result in results], frames_per=1)
                written = sheet
    finally:
        if results:
            report(results, written, stages.timings, as_json)
