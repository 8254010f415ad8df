"""`sorairo generate`: words to a video file."""

from __future__ import annotations

import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sorairo.cli.outcome import numbered, recipe, report
from sorairo.cli.pictures import ClassAsk, make_pictures
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.types import Sample

__all__ = ["generate"]

AT_ONCE = 4
"""Videos in one batch; each is on disk before the next batch begins."""

EXAMPLES = """\b
Examples:
  sorairo generate "A red ball drops onto the floor and bounces."
  sorairo generate "A blue cube slides to the left." --seconds 4 -o slide.gif
  sorairo generate "A green cylinder rolls to the right." --size 128x96 --seed 7 -n 4 --sheet rolls.png
  sorairo generate --model dit-xl-2-256 --class "golden retriever" -o dog.png
"""


def generate(
    prompt: Annotated[
        str | None, typer.Argument(metavar="PROMPT", help="What happens, in words.", show_default=False)
    ] = None,
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|FOLDER", help="A model's name or its folder.")
    ] = "default",
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Width and height in pixels; the model's own if not given."),
    ] = None,
    seconds: Annotated[
        float | None, typer.Option(metavar="S", help="Length; the nearest that the model can make.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(metavar="N", help="Length in frames, in place of seconds.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option(metavar="N", help="The same seed gives the same video; random if not given.")
    ] = None,
    number: Annotated[
        int, typer.Option("-n", metavar="K", help="Make K videos, with seeds from --seed on: out-1.mp4, ...")
    ] = 1,
    steps: Annotated[
        int | None, typer.Option(metavar="N", help="Denoising steps; the model's own if not given.")
    ] = None,
    guidance: Annotated[
        float | None,
        typer.Option(metavar="G", help="How closely to follow the words; the model's own if not given."),
    ] = None,
    negative: Annotated[str, typer.Option(metavar="WORDS", help="What to keep away from.")] = "",
    label: Annotated[
        str | None,
        typer.Option(
            "--class", metavar="NAME", help="A picture of this class, by a DiT; in place of PROMPT."
        ),
    ] = None,
    sampler: Annotated[
        str | None, typer.Option(metavar="ddim|ddpm", help="With --class; the model's own if not given.")
    ] = None,
    lora: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE[:WEIGHT]", help="A LoRA for this model, with how much of it; may be given again."
        ),
    ] = None,
    loose: Annotated[
        bool, typer.Option("--lora-loose", help="Leave out what of a LoRA fits no part of the model.")
    ] = False,
    cache: Annotated[
        float | None,
        typer.Option(metavar="T", help="Foretell steps up to this error: 0.2 leaves out 6 of 16, 30 of 50."),
    ] = None,
    memory: Annotated[
        str | None, typer.Option(metavar="8GB", help="Hold the model so that it fits, and say how.")
    ] = None,
    dtype: Annotated[
        str, typer.Option(metavar="auto|bf16|fp32", help="Precision; auto is what this machine is fast in.")
    ] = "auto",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="FILE",
            help="Ends in .mp4, .gif, .webp or .png.",
            show_default="out.mp4, or out.png with --class",
        ),
    ] = None,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE.png", help="Write a contact sheet too.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Make a video from words."""
    from sorairo.cli.progress import Stages
    from sorairo.video.sheet import check_sheet, contact_sheet
    from sorairo.video.write import check_writable, write_video

    if (prompt is None) == (label is None):
        raise typer.BadParameter("Missing argument PROMPT (or --class, not both)")
    if number < 1:
        raise UserError(f"-n must be 1 or more, not {number}.")
    if seconds is not None and frames is not None:
        raise UserError("Give --seconds or --frames, not both.")
    paths = numbered(out or Path("out.mp4" if label is None else "out.png"), number)
    for path in paths:  # before the work, not after it
        check_writable(path)
    if sheet:
        check_sheet(sheet)
    first = secrets.randbelow(2**31) if seed is None else seed
    if label is not None:
        for option, value in (
            ("--size", size),
            ("--seconds", seconds),
            ("--frames", frames),
            ("--negative", negative),
            ("--lora", lora),
            ("--cache", cache),
            ("--memory", memory),
        ):
            if value:
                raise UserError(
                    f"{option} does not go with --class: a DiT makes one picture of its own size."
                )
        ask = ClassAsk(label=label, steps=steps, guidance=guidance, sampler=sampler, dtype=dtype)
        make_pictures(model, ask, range(first, first + number), paths, sheet, as_json)
        return
    assert prompt is not None
    with Stages() as stages:
        stages("load")
        from sorairo.checkpoints.lora import apply_loras
        from sorairo.checkpoints.planner import load_within
        from sorairo.flow.cache import CacheConfig
        from sorairo.generate import generate as make
        from sorairo.tasks.text_to_video import text_to_video

        saving = None if cache is None else CacheConfig(tolerance=cache)
        checkpoint = load_within(memory, model, dtype, parsed_size(size), frames, stages.say)
        checkpoint = apply_loras(checkpoint, lora or [], strict=not loose)
        if unknown := checkpoint.info.unknown_words(prompt):
            words = ", ".join(f"“{word}”" for word in unknown)
            stages.say(f"{model} never saw {words}; `sorairo models info` lists the words that it knows.")
        plans = [
            text_to_video(
                prompt,
                checkpoint.info,
                size=parsed_size(size),
                seconds=seconds,
                frames=frames,
                seed=first + index,
                steps=steps,
                guidance=guidance,
                negative=negative,
            )
            for index in range(number)
        ]
        for plan in plans:
            checkpoint.info.check(plan)
        samples: list[Sample] = []
        for start in range(0, number, AT_ONCE):
            made = make(plans[start : start + AT_ONCE], checkpoint, stages, saving)
            stages("encode", 0, len(made))
            for done, sample in enumerate(made, 1):
                write_video(sample.video, paths[len(samples)], recipe(sample))
                samples.append(sample)
                stages("encode", done, len(made))
        if sheet:
            captions = [prompt if number == 1 else f"{prompt} (seed {plan.seed})" for plan in plans]
            contact_sheet([sample.video for sample in samples], captions, sheet, frames_per=6, scale=2)
    report(samples, paths, sheet, stages.timings, as_json)


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "WxH"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})[xX\u00d7](\d{1,6})", text.strip())
    if not found:
        raise UserError(f"A size is WIDTHxHEIGHT in pixels, such as 128x96, not {text!r}.")
    return int(found[1]), int(found[2])
