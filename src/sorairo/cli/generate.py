"""`sorairo generate`: words to a video file."""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.types import UserError
from sorairo.version import VERSION

if TYPE_CHECKING:
    from sorairo.types import Sample

__all__ = ["generate"]

AT_ONCE = 4
"""Videos in one batch; each is on disk before the next batch begins."""

EXAMPLES = """\b
Examples:
  sorairo generate "A red ball drops onto the floor and bounces."
  sorairo generate "A blue cube slides to the left." --size 128x96 --seconds 4 -o slide.gif
  sorairo generate "A tower of cubes collapses." --seed 7 -n 4 --sheet towers.png
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
        from sorairo.checkpoints.folder import load_checkpoint
        from sorairo.generate import generate as make
        from sorairo.tasks.text_to_video import text_to_video

        checkpoint = load_checkpoint(model, dtype)
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
            made = make(plans[start : start + AT_ONCE], checkpoint, progress=stages)
            stages("encode", 0, len(made))
            for done, sample in enumerate(made, 1):
                write_video(sample.video, paths[len(samples)], recipe(sample))
                samples.append(sample)
                stages("encode", done, len(made))
        if sheet:
            captions = [prompt if number == 1 else f"{prompt} (seed {plan.seed})" for plan in plans]
            contact_sheet([sample.video for sample in samples], captions, sheet, frames_per=6, scale=2)
    report(samples, paths, sheet, stages.timings, as_json)


@dataclass(frozen=True, kw_only=True)
class ClassAsk:
    """What is asked of a DiT."""

    label: str
    steps: int | None
    guidance: float | None
    sampler: str | None
    dtype: str


def make_pictures(
    model: str, ask: ClassAsk, seeds: range, paths: list[Path], sheet: Path | None, as_json: bool
) -> None:
    """Pictures of a class, one for each seed."""
    from sorairo.cli.progress import Stages
    from sorairo.video.sheet import contact_sheet
    from sorairo.video.write import write_video

    with Stages() as stages:
        stages("load")
        from sorairo.checkpoints.class_folder import load_class_model
        from sorairo.checkpoints.folder import compute_dtype, find_folder
        from sorairo.class_images import generate_images

        loaded = load_class_model(find_folder(model), compute_dtype(ask.dtype))
        samples: list[Sample] = []
        for seed, path in zip(seeds, paths, strict=True):
            samples += generate_images(
                loaded,
                ask.label,
                [seed],
                steps=ask.steps,
                guidance=ask.guidance,
                sampler=ask.sampler,
                progress=stages,
            )
            write_video(samples[-1].video, path, recipe(samples[-1]))
        if sheet:
            captions = [f"{sample.plan.spans[0].text} (seed {sample.plan.seed})" for sample in samples]
            contact_sheet([sample.video for sample in samples], captions, sheet, frames_per=1)
    report(samples, paths, sheet, stages.timings, as_json)


def numbered(out: Path, number: int) -> list[Path]:
    """out.mp4, or out-1.mp4 to out-K.mp4."""
    if number == 1:
        return [out]
    return [out.with_stem(f"{out.stem}-{index}") for index in range(1, number + 1)]


def parsed_size(text: str | None) -> tuple[int, int] | None:
    """(width, height) of "WxH"."""
    if text is None:
        return None
    found = re.fullmatch(r"(\d{1,6})[xX\u00d7](\d{1,6})", text.strip())
    if not found:
        raise UserError(f"A size is WIDTHxHEIGHT in pixels, such as 128x96, not {text!r}.")
    return int(found[1]), int(found[2])


def recipe(sample: Sample) -> dict[str, Any]:
    """What the file remembers of how it was made, enough to make it again."""
    plan = sample.plan
    return {
        "prompt": plan.spans[0].text,
        "negative": plan.negative,
        "seed": plan.seed,
        "size": list(plan.size),
        "frames": plan.frames,
        "fps": plan.fps,
        "steps": plan.steps,
        "guidance": plan.guidance,
        "model": sample.model,
        "software": f"sorairo {VERSION}",
    }


def report(
    samples: list[Sample], paths: list[Path], sheet: Path | None, timings: dict[str, float], as_json: bool
) -> None:
    """One JSON object, or a line per file, on stdout."""
    sample = samples[0]
    if as_json:
        values: dict[str, Any] = {"path": str(paths[0])} | recipe(sample)
        values["videos"] = [
            {"path": str(path), "seed": one.plan.seed} for path, one in zip(paths, samples, strict=True)
        ]
        values["sheet"] = str(sheet) if sheet else None
        values["timings"] = {stage: round(seconds, 4) for stage, seconds in timings.items()}
        print(json.dumps(values))
        return
    w, h = sample.video.size
    for path, one in zip(paths, samples, strict=True):
        length = len(one.video) / one.video.fps
        print(f"{path}  {w}x{h}, {length:.1f} s at {one.video.fps:g} frames a second, seed {one.plan.seed}")
    if sheet:
        print(f"{sheet}  contact sheet")
