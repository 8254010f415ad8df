"""`sorairo eval`: score a model on held-out prompts of a world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sorairo.cli.eval_words import words

if TYPE_CHECKING:
    from sorairo.evaluation.evaluate import Evaluation

app = typer.Typer(help="Score a model on prompts that it never saw.", no_args_is_help=True)
app.command()(words)


@app.command()
def world(
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name or folder of the model; `real` scores real clips.")
    ] = "default",
    prompts: Annotated[int, typer.Option(help="Number of held-out prompts.")] = 200,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "96x96",
    frames: Annotated[int, typer.Option(help="Frames per clip.")] = 17,
    seed: Annotated[int, typer.Option(help="The suite of prompts; each number is a set of its own.")] = 0,
    circle: Annotated[
        int,
        typer.Option(help="How much of the world, from 0 (one object) to 3 (all)."),
    ] = 0,
    events: Annotated[
        str, typer.Option(metavar="EVENT,...", help="Only these events, such as `hide`; all if not given.")
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for clips, scorecard and contact sheet.")] = Path(
        "runs/eval"
    ),
    steps: Annotated[int | None, typer.Option(help="Denoising steps. Default: the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance. Default: the model's.")] = None,
    distances: Annotated[
        bool, typer.Option(help="Compute Frechet distances (two thirds of the scoring time).")
    ] = True,
    update: Annotated[
        Path | None, typer.Option(help="Write the table between the markers in this file.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the scorecard as JSON.")] = False,
) -> None:
    """Held-out prompts -> clips -> read back from pixels -> a scorecard beside reference and chance."""
    from sorairo.cli.progress import Stages
    from sorairo.evaluation.evaluate import evaluate
    from sorairo.evaluation.parse import load_parser
    from sorairo.evaluation.report import markdown, scorecard, splice
    from sorairo.evaluation.suites import Suite
    from sorairo.files import replacing
    from sorairo.jobs.request import parsed_size

    suite = Suite(
        circle=circle,
        count=prompts,
        size=parsed_size(size) or (96, 96),
        frames=frames,
        seed=seed,
        events=tuple(event for event in events.split(",") if event),
    )
    parser = load_parser()
    model_fn = codec_fn = None
    if model != "real":
        from sorairo.checkpoints.folder import load_checkpoint
        from sorairo.evaluation.makers import clip_maker, codec_maker

        loaded = load_checkpoint(model)
        model_fn = clip_maker(model, loaded, suite, out, steps, guidance)
        codec_fn = codec_maker(loaded)
    with Stages() as progress:
        evaluation = evaluate(
            suite, parser, model_fn=model_fn, codec_fn=codec_fn, distances=distances, progress=progress
        )
    card = {"model": model, "steps": steps, "guidance": guidance} | scorecard(evaluation)
    table = markdown(card)
    out.mkdir(parents=True, exist_ok=True)
    for name, text in (("scorecard.json", json.dumps(card, indent=2) + "\n"), ("scorecard.md", table)):
        with replacing(out / name) as temporary:
            temporary.write_text(text)
    _sheet(evaluation, out / "first.png")
    if update:
        splice(table, update)
    typer.echo(json.dumps(card) if as_json else table)


@app.command()
def verbs(
    model: Annotated[str, typer.Option("--model", "-m", help="Name or folder of the model.")] = "default",
    only: Annotated[str, typer.Option(metavar="VERB,...", help="Score only these verbs. Default: all.")] = "",
    clips: Annotated[int, typer.Option(help="Number of held-out clips.")] = 4,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "96x96",
    frames: Annotated[int, typer.Option(help="Frames per clip.")] = 17,
    seed: Annotated[int, typer.Option(help="The suite of clips; each number is a set of its own.")] = 0,
    circle: Annotated[int, typer.Option(help="How much of the world, from 0 to 3 (all).")] = 0,
    long: Annotated[
        int,
        typer.Option(
            help="Length of the long clip, in lengths of the model's longest (`--only long`: one for each clip)."
        ),
    ] = 10,
    steps: Annotated[int | None, typer.Option(help="Denoising steps. Default: the model's.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance. Default: the model's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Also write the numbers to this JSON file.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the numbers as JSON.")] = False,
) -> None:
    """Score every verb on held-out clips: kept frames, seams, loops, edits, spans."""
    from dataclasses import asdict

    from sorairo import tasks
    from sorairo.cli.progress import Stages
    from sorairo.evaluation import verbs as measured
    from sorairo.evaluation.parse import load_parser
    from sorairo.evaluation.suites import Suite
    from sorairo.evaluation.targets import table, verdicts
    from sorairo.files import check_folder, replacing
    from sorairo.jobs.request import parsed_size
    from sorairo.types import UserError

    suite = Suite(circle=circle, count=clips, size=parsed_size(size) or (96, 96), frames=frames, seed=seed)
    names = [name for name in only.split(",") if name]
    if unknown := [name for name in names if name not in measured.MEASURES]:
        raise UserError(f"There is no verb {unknown[0]!r}; choose of {', '.join(measured.MEASURES)}.")
    if out:
        check_folder(out)
    with Stages() as progress:
        progress("load")
        from sorairo.checkpoints.folder import load_checkpoint
        from sorairo.evaluation.makers import codec_maker
        from sorairo.generation.generate import generate

        loaded = load_checkpoint(model)
        bench = measured.Bench(
            model=loaded.abilities,
            make=lambda plan: generate(plan, loaded)[0].video,
            through=codec_maker(loaded),
            parser=load_parser(),
            ask=tasks.Ask(steps=steps, guidance=guidance),
            long=long,
        )
        total, count = clips * len(names or measured.MEASURES), 0

        def done() -> None:
            nonlocal count
            count += 1
            progress("verbs", count, total)

        progress("verbs", 0, total)
        numbers = measured.measure_verbs(bench, measured.cases_of(suite), verbs=names, done=done)
    found = list(verdicts(numbers))
    card = {
        "model": model,
        "suite": asdict(suite),
        "verbs": {one.name: asdict(one.target) | asdict(one.estimate) | {"met": one.met} for one in found},
    }
    if out:
        with replacing(out) as temporary:
            temporary.write_text(json.dumps(card, indent=2) + "\n")
    typer.echo(json.dumps(card) if as_json else table(found), nl=as_json)


def _sheet(evaluation: Evaluation, path: Path) -> None:
    """The first seeds, not chosen ones: the generated clips, or the real ones where there is no model."""
    from sorairo.video import contact_sheet

    videos = evaluation.first.get("model") or evaluation.first["real"]
    contact_sheet(videos, [p.text for p in evaluation.prompts[: len(videos)]], path, columns=2, frames_per=6)
