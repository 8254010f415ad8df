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
    from sorairo.data.captions.base import Captioner

__all__ = ["BUILD_EXAMPLES", "app"]

app = typer.Typer(help="Training data out of your own clips.", no_args_is_help=True)

BUILD_EXAMPLES = """\b
Examples:
  sorairo data build clips data
  sorairo data build clips data --frames 17,33 --workers 2
  sorairo data build clips data --caption-with http://localhost:8080/v1 --caption-model qwen3-vl
  sorairo data build clips data --caption-with worlds
  sorairo data build clips data --ray auto
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
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS", help="Work on a Ray cluster: auto, local, HOST:PORT, ray://HOST:PORT."
        ),
    ] = None,
    caption_with: Annotated[
        str | None,
        typer.Option(
            metavar="URL|worlds|FILE",
            help="Who writes captions: a vision model that speaks OpenAI's API (URL ends in /v1), or a small network "
            "that knows the simulated worlds alone (worlds, or a file that recipes/captioner.py made).",
        ),
    ] = None,
    caption_model: Annotated[str, typer.Option(metavar="NAME", help="The vision model's name there.")] = "",
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
    OUT/filters.toml: change it and run the command again. The key of a captioner is read from SORAIRO_CAPTION_KEY or
    OPENAI_API_KEY.
    """
    from sorairo.cli.progress import Stages
    from sorairo.data.build.cluster import RayCrew
    from sorairo.data.build.files import check_folder
    from sorairo.data.build.run import build as run_build
    from sorairo.data.build.work import Crew, Here, Processes
    from sorairo.training.encoding import encoding_of, load_encoders, load_parts
    from sorairo.training.parallel.placement import find_device

    if workers < 0 or per_shard < 1:
        raise UserError("--workers is 0 or more and --per-shard 1 or more.")
    check_folder(folder)  # before a model is loaded
    place = str(find_device(device))
    began = time.perf_counter()
    with Stages(remaining=True) as stages:
        parts = load_parts(model, dtype, place)
        target = wanted(parts.info, parts.codec.config.time_factor, size, frames)
        captioner = None if caption_with is None else captioner_of(caption_with, caption_model)
        crew: Crew = Processes(workers) if workers > 1 else Here()
        if ray is not None:
            crew, folder, out = RayCrew(ray), folder.absolute(), out.absolute()
        outcome = run_build(
            folder,
            out,
            target=target,
            encoding=encoding_of(parts.codec, parts.text, parts.info),
            load=partial(load_encoders, model, dtype, place),
            check=parts.text.tokens,
            crew=crew,
            encode_crew=crew if place == "cpu" or ray else Here(),
            captioner=captioner,
            per_shard=per_shard,
            progress=stages,
            say=stages.say,
        )
    seconds = time.perf_counter() - began
    if as_json:
        print(json.dumps(facts(out, outcome, seconds)))
    else:
        print("\n".join(lines(out, outcome)))


SHOW_EXAMPLES = """\b
Examples:
  sorairo data show data
  sorairo data show data --rejected --by motion --sheet dropped.png
"""


@app.command(epilog=SHOW_EXAMPLES)
def show(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that sorairo data build made.")],
    rejected: Annotated[bool, typer.Option("--rejected", help="What was dropped, and why.")] = False,
    by: Annotated[str, typer.Option(metavar="FILTER", help="Only what this filter dropped.")] = "",
    page: Annotated[int, typer.Option(metavar="N", help="Which page, from 1.")] = 1,
    per_page: Annotated[int, typer.Option(metavar="N", help="Shots on a page.")] = 20,
    sheet: Annotated[Path | None, typer.Option(metavar="FILE", help="Draw the page, as PNG.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Page through what a build kept or dropped, and check that its shards are whole."""
    from sorairo.cli.terminal import safe
    from sorairo.data.manifest import read_manifest
    from sorairo.data.show import damaged_shards, entries, line_of, page_sheet
    from sorairo.video.sheet import check_sheet

    if per_page < 1 or page < 1:
        raise UserError("--page and --per-page are 1 or more.")
    if sheet is not None:
        check_sheet(sheet)
    manifest = read_manifest(out)
    damaged = damaged_shards(out, manifest)
    found = entries(out, rejected or bool(by), by)
    pages = max(1, -(-len(found) // per_page))
    if page > pages:
        raise UserError(f"There are {pages} pages of {per_page}; --page is 1 to {pages}.")
    some = found[(page - 1) * per_page : page * per_page]
    if sheet is not None and some:
        page_sheet(out, some, sheet)
    if as_json:
        values = {"model": manifest.encoding.model, "clips": manifest.clips, "shards": len(manifest.shards)}
        print(json.dumps(values | {"damaged": damaged, "pages": pages, "page": page, "shots": some}))
    else:
        state = "" if manifest.complete else ", not finished: run sorairo data build again"
        print(
            f"{manifest.clips} clips in {len(manifest.shards)} shards for {manifest.encoding.model}{state}."
        )
        print("\n".join(safe(line_of(one)) for one in some))
        print(f"Page {page} of {pages}, {len(found)} shots {'dropped' if rejected or by else 'kept'}.")
    if damaged:
        raise UserError(
            f"Damaged or missing: {', '.join(damaged)}; run sorairo data build again to make them."
        )


IMPORT_EXAMPLES = """\b
Examples:
  sorairo data import train-0000.tar train-0001.tar --to clips
  sorairo data build clips data
"""


@app.command("import", epilog=IMPORT_EXAMPLES)
def import_(
    tars: Annotated[list[Path], typer.Argument(metavar="TAR...", help="WebDataset tars.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder for the clips.")],
) -> None:
    """Unpack WebDataset tars into a folder that data build takes. Tars that were unpacked before are passed over."""
    from sorairo.cli.progress import Stages
    from sorairo.data.webdataset import import_tars

    with Stages(remaining=True) as stages:
        count = import_tars(tars, to, stages)
    print(f"{count} files in {to}.")


EXPORT_EXAMPLES = """\b
Examples:
  sorairo data export data clips --to tars
"""


@app.command("export", epilog=EXPORT_EXAMPLES)
def export(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A folder that sorairo data build made.")],
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="The clips that it was made from.")],
    to: Annotated[Path, typer.Option("--to", metavar="DIR", help="The folder for the tars.")],
    per_tar: Annotated[int, typer.Option(metavar="N", help="Clips in a tar.")] = 256,
) -> None:
    """Write the kept clips, cut to size, with their captions as WebDataset tars for other tools."""
    from sorairo.cli.progress import Stages
    from sorairo.data.webdataset import export_tars

    if per_tar < 1:
        raise UserError("--per-tar is 1 or more.")
    with Stages(remaining=True) as stages:
        written, left = export_tars(out, folder, to, per_tar=per_tar, progress=stages)
    note = f"; {left} left out, since their files are gone or others" if left else ""
    print(f"{written} clips in {to}{note}.")


def captioner_of(who: str, model: str) -> Captioner:
    """Of --caption-with and --caption-model. Raises UserError."""
    from sorairo.data.captions.endpoint import Endpoint, key_of_environment
    from sorairo.data.captions.trained import SHIPPED, Trained

    if who != "worlds" and not who.endswith(".safetensors"):
        return Endpoint(who, model, key=key_of_environment())
    if model:
        raise UserError("--caption-model is the name of a vision model at a URL; leave it out.")
    return Trained(SHIPPED if who == "worlds" else Path(who))


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
