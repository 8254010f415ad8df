"""A scorecard as a Markdown table, as plain values for sorairo.json, and between the markers of a README."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from sorairo.evaluation.evaluate import PHYSICS, Evaluation
from sorairo.evaluation.judge import RIGHT
from sorairo.evaluation.metrics import Estimate
from sorairo.files import replacing
from sorairo.types import UserError

__all__ = ["END", "START", "markdown", "scorecard", "splice"]

START, END = "<!-- scorecard:start -->", "<!-- scorecard:end -->"
COLUMNS = {
    "model": "this model",
    "real": "real clips (reference)",
    "codec": "through the codec",
    "shuffled": "other prompts (chance)",
    "frozen": "frozen frame",
}
DISTANCES = {"FD-MobileNetV2": "FD-MobileNetV2, frames", "FD-TransNetV2": "FD-TransNetV2, clips"}
NAMES = (
    {question: f"right {name}, %" for question, name in RIGHT.items()}
    | {question: name for question, name in PHYSICS.items()}
    | {"permanence": "permanence behind a wall, %", "psnr": "codec PSNR, dB"}
    | DISTANCES
)
SHARES = {*RIGHT, "permanence"}


def scorecard(evaluation: Evaluation) -> dict[str, Any]:
    """Plain values: the suite, every score with its interval and count, and what was taken for what."""
    scores = {
        question: {column: _rounded(estimate) for column, estimate in row.items()}
        for question, row in evaluation.scores.items()
    }
    return {"suite": asdict(evaluation.suite), "scores": scores, "mistakes": evaluation.mistakes}


def _rounded(estimate: Estimate) -> dict[str, float]:
    return {key: round(value, 4) for key, value in asdict(estimate).items()}


def markdown(card: dict[str, Any]) -> str:
    """The table of a scorecard (as `scorecard` gives it): a row per question, a column per kind of clip."""
    scores, suite = card["scores"], card["suite"]
    present = [c for c in COLUMNS if any(c in row for row in scores.values())]
    lines = ["| | " + " | ".join(COLUMNS[c] for c in present) + " |", "|---|" + "---:|" * len(present)]
    for question, name in NAMES.items():
        if question in scores:
            cells = [_cell(question, scores[question].get(c)) for c in present]
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
    width, height = suite["size"]
    lines += [
        "",
        f"{suite['count']} held-out prompts of `{suite['world']}` (circle {suite['circle']}, suite {suite['seed']}), "
        f"{suite['frames']} frames of {width}x{height}. In brackets: 95% bootstrap intervals over clips. Errors are in "
        "object sizes; lower is better for errors and distances.",
    ]
    return "\n".join(lines) + "\n"


def _cell(question: str, estimate: dict[str, float] | None) -> str:
    if estimate is None:
        return ""
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    if question in SHARES:
        return f"{100 * value:.1f} [{100 * low:.0f}, {100 * high:.0f}]"
    digits = 1 if value >= 10 else 3
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def splice(text: str, path: Path) -> None:
    """Replace what stands between the scorecard's markers in a file. Raises UserError where there are none."""
    try:
        old = path.read_text()
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist.") from error
    before, start, rest = old.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"{path} has no lines {START} and {END} to put the scorecard between.")
    with replacing(path) as temporary:
        temporary.write_text(f"{before}{START}\n{text}{END}{after}")
