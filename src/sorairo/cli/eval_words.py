"""`sorairo eval words`: score a model on prompts that people wrote in their own words."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sorairo.evaluation.suites import Prompt
    from sorairo.types import Video

__all__ = ["words"]


def words(
    model: Annotated[str, typer.Option("--model", "-m", help="A model's name or folder.")] = "default",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT in pixels.")] = "96x96",
    most: Annotated[
        int, typer.Option(help="Leave out prompts with more objects than this; `default` has learned one.")
    ] = 1,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; the model's own if not given.")] = None,
    guidance: Annotated[float | None, typer.Option(help="Guidance; the model's own if not given.")] = None,
    out: Annotated[Path, typer.Option(help="Folder for clips, scores and contact sheet.")] = Path(
        "runs/words"
    ),
    as_json: Annotated[bool, typer.Option("--json", help="Print the scores as JSON.")] = False,
) -> None:
    """A hundred prompts as five people would write them -> clips -> read back from pixels -> a table."""
    from dataclasses import asdict

    from sorairo.checkpoints.folder import load_checkpoint
    from sorairo.cli.progress import Stages
    from sorairo.evaluation.makers import clip_maker
    from sorairo.evaluation.own_words import QUESTIONS, own_words, score_own_words
    from sorairo.evaluation.parse import load_parser
    from sorairo.evaluation.suites import Suite
    from sorairo.files import replacing
    from sorairo.jobs.request import parsed_size
    from sorairo.types import UserError
    from sorairo.video import contact_sheet

    pixels = parsed_size(size) or (96, 96)
    asked = own_words(size=pixels, most=most)
    if not asked:
        raise UserError(f"No prompt has {most} objects or fewer; --most is 1 or more.")
    suite = Suite(count=len(asked), size=pixels)
    made = clip_maker(f"own words, {model}", load_checkpoint(model), suite, out, steps, guidance)
    first: list[Video] = []

    def clips(prompts: Sequence[Prompt]) -> Iterable[Video]:
        for video in made(prompts):
            first.append(video) if len(first) < 8 else None
            yield video

    with Stages() as progress:
        scores = score_own_words(asked, load_parser(), clips, progress)
    card = {
        "model": model,
        "prompts": len(asked),
        "scores": {who: {q: asdict(e) for q, e in row.items()} for who, row in scores.items()},
    }
    lines = [f"| right, % | {' | '.join(QUESTIONS)} |", "|---|" + "---:|" * len(QUESTIONS)]
    for who, row in sorted(scores.items(), key=lambda item: item[0] != "all"):
        cells = [f"{100 * e.value:.0f} [{100 * e.low:.0f}, {100 * e.high:.0f}]" for e in row.values()]
        lines.append(f"| {who} ({next(iter(row.values())).count}) | {' | '.join(cells)} |")
    table = "\n".join(lines) + "\n"
    for name, text in (("words.json", json.dumps(card, indent=2) + "\n"), ("words.md", table)):
        with replacing(out / name) as temporary:
            temporary.write_text(text)
    contact_sheet(first, [one.prompt.text for one in asked[:8]], out / "first.png", columns=2, frames_per=6)
    typer.echo(json.dumps(card) if as_json else table, nl=as_json)
