"""`sorairo data`: from a folder of your own clips to shards that a model can be trained on."""

from __future__ import annotations

import json
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.info import ModelInfo
    from sorairo.data.build.run import Outcome
    from sorairo.data.build.settings import Target

__all__ = ["BUILD_EXAMPLES", "app"]

app = typer.Typer(help="Training data out of your own clips.", no_args_is_help=True)

BUILD_EXAMPLES = """\b
Examples:
  sorairo data build clips data
  sorairo data build clips data --frames 17,33 --workers 2
  sorairo data show data --rejected
"""


@app.command(epilog=BUILD_EXAMPLES)
def build(
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="Clips and pictures, with their captions beside them.")
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The folder for the shards.")],
    model: Annotated[
        str, typer.Option("--model", "-m", metavar="NAME|DIR", help="The model that is to learn from them.")
    ] = "default",
    size: Annotated[
        str,
        typer.Option(metavar="WxH,...", help="Sizes of clips. Default: all that the model was trained at."),
    ] = "",
    frames: Annotated[
        str, typer.Option(metavar="N,...", help="Lengths of clips; 1 keeps stills too. Default: the model's.")
    ] = "",
    per_shard: Annotated[int, typer.Option(metavar="N", help="Clips in a file, at most.")] = 64,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes that read and encode; 0: this one alone.")
    ] = 0,
    dtype: Annotated[
        str, typer.Option(metavar="auto|bf16|fp32", help="What the encoders compute in.")
    ] = "fp32",
    device: Annotated[
        str, typer.Option(metavar="NAME", help="Where the encoders run: cpu, cuda, cuda:1.")
    ] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Look at every file, keep what is good, cut it to the model's sizes, and encode it with its captions.

    The same command again goes on after an end of any kind, and does only what is new. What is kept is decided by
    OUT/filters.toml: change it and run the command again.
    """
    from sorairo.cli.progress import Stages
    from sorairo.data.build.run import build as run_build
    from sorairo.data.build.work import Crew, Here, Processes
    from sorairo.training.encoding import encoding_of, load_encoders, load_parts
    from sorairo.training.parallel.placement import find_device

    if workers < 0 or per_shard < 1:
        raise UserError("--workers is 0 or more and --per-shard 1 or more.")
    place = str(find_device(device))
    began = time.perf_counter()
    with Stages(remaining=True) as stages:
        parts = load_parts(model, dtype, place)
        target = wanted(parts.info, parts.codec.config.time_factor, size, frames)
        crew: Crew = Processes(workers) if workers > 1 else Here()
        outcome = run_build(
            folder,
            out,
            target=target,
            encoding=encoding_of(parts.codec, parts.text, parts.info),
            load=partial(load_encoders, model, dtype, place),
            check=parts.text.tokens,
            crew=crew,
            encode_crew=crew if place == "cpu" else Here(),
            per_shard=per_shard,
            progress=stages,
            say=stages.say,
        )
    seconds = time.perf_counter() - began
    if as_json:
        print(json.dumps(facts(out, outcome, seconds)))
    else:
        print("\n".join(lines(out, outcome)))


def wanted(info: ModelInfo, step: int, size: str, frames: str) -> Target:
    """What --size and --frames say, of what the model takes. Raises UserError."""
    from sorairo.cli.worlds import parse_size
    from sorairo.data.build.settings import Target

    sizes = tuple(parse_size(text) for text in size.split(",")) if size else info.sizes
    for one in sizes:
        if one not in info.sizes:
            can = ", ".join(f"{width}x{height}" for width, height in info.sizes)
            raise UserError(f"{info.name} was not trained at {one[0]}x{one[1]}; it was at {can}.")
    texts = [text.strip() for text in frames.split(",")] if frames else [str(info.default_frames)]
    lengths = []
    for text in texts:
        if not (text.isascii() and text.isdigit() and len(text) < 7 and 1 <= int(text) <= info.max_frames):
            raise UserError(f"--frames are numbers from 1 to {info.max_frames}, not {text[:40]!r}.")
        if (int(text) - 1) % step:
            near = 1 + (int(text) - 1) // step * step
            raise UserError(
                f"{info.name} takes 1 + {step} k frames, such as {near} or {near + step}, not {text}."
            )
        lengths.append(int(text))
    return Target(sizes=sizes, lengths=tuple(sorted(set(lengths), reverse=True)), fps=info.fps)


def facts(out: Path, outcome: Outcome, seconds: float) -> dict[str, Any]:
    """What a build came to, as JSON values."""
    from dataclasses import asdict

    values = asdict(outcome) | {"out": str(out), "seconds": round(seconds, 2)}
    return values | {"sheets": [str(path) for path in outcome.sheets]}


def lines(out: Path, outcome: Outcome) -> list[str]:
    """The same in words."""
    said = [
        f"{outcome.files} files ({outcome.new_files} new), {outcome.shots} shots, {outcome.kept} kept: "
        f"{outcome.clips} clips in {outcome.shards} shards ({outcome.written} written now) in {out}."
    ]
    if outcome.dropped:
        said.append(
            "Dropped: " + ", ".join(f"{count} by {name}" for name, count in outcome.dropped.items()) + "."
        )
        said.append(f"Why: {out}/rejected.jsonl, {out}/sheets; bounds: {out}/filters.toml.")
    return said
