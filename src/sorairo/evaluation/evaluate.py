"""The scorecard of a model on a suite: its clips, and beside them the best and the worst possible scores.

Columns: `model`, the generated clips; `real`, the reference: the world's own clips of the same prompts; `codec`, the
same through the model's codec; `shuffled`, chance: the model's clips (the real ones if there is no model) held against
other prompts, their motion with the frames in random order; `frozen`, for the distances: real clips whose first frame
stands still.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from sorairo.evaluation.features import MobileNetV2Features, TransNetV2Features
from sorairo.evaluation.judge import RIGHT, judge, motion, physics
from sorairo.evaluation.metrics import Estimate, frechet_estimate, mean_estimate
from sorairo.evaluation.parse import Parsed, Parser
from sorairo.evaluation.relations import says_order
from sorairo.evaluation.suites import Facts, Prompt, Suite, facts_of, prompt_of
from sorairo.types import Video

__all__ = ["PHYSICS", "Column", "Evaluation", "evaluate", "psnr"]

PHYSICS = {
    "permanence": "permanence behind a wall",
    "motion": "motion error",
    "gravity": "gravity error",
    "velocity": "velocity error",
    "bounce": "bounce error",
}
log = logging.getLogger(__name__)
Progress = Callable[[str, int, int], None]


def _silent(stage: str, done: int, total: int) -> None:
    pass


@dataclass(kw_only=True, eq=False)
class Column:
    """The clips of one column, as they come: what was read in them and their features."""

    parsed: list[Parsed] = field(default_factory=list)
    features: dict[str, list[np.ndarray]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """scores[question][column]; mistakes[column]: (expected, seen) -> how often."""

    suite: Suite
    scores: dict[str, dict[str, Estimate]]
    mistakes: dict[str, dict[str, int]]
    prompts: list[Prompt]
    first: dict[str, list[Video]]


def evaluate(
    suite: Suite,
    parser: Parser,
    *,
    model_fn: Callable[[Sequence[Prompt]], Iterable[Video]] | None = None,
    codec_fn: Callable[[Video], Video] | None = None,
    distances: bool = True,
    progress: Progress = _silent,
    show: int = 8,
) -> Evaluation:
    """Score a model. model_fn: prompts -> their clips, in order, as they are made; codec_fn: a clip through the codec.

    Either may be left out, and its column is then missing. distances=False leaves the Frechet distances out (two
    thirds of the time). show: how many of the first clips to hand back for a contact sheet.
    """
    extractors = [MobileNetV2Features(), TransNetV2Features()] if distances else []
    columns: dict[str, Column] = {"real": Column()}
    facts: list[Facts] = []
    prompts: list[Prompt] = []
    first: dict[str, list[Video]] = {"real": []}
    fidelity: list[float] = []

    def read(name: str, video: Video, *, parse: bool = True) -> None:
        column = columns.setdefault(name, Column())
        if parse:
            column.parsed.append(parser(video))
        for extract in extractors:
            column.features.setdefault(extract.name, []).append(extract(video))

    for index, clip in enumerate(suite.clips()):
        prompt, truth = prompt_of(clip, suite), facts_of(clip)
        prompts.append(prompt)
        facts.append(truth if says_order(prompt.text) else replace(truth, order=None))
        if index < show:
            first["real"].append(clip.video)
        read("real", clip.video)
        if codec_fn:
            through = codec_fn(clip.video)
            fidelity.append(psnr(through, clip.video))
            read("codec", through)
        if distances:
            still = np.repeat(clip.video.frames[:1], len(clip.video), axis=0)
            read("frozen", Video(frames=still, fps=clip.video.fps), parse=False)
        progress("real clips", index + 1, suite.count)
    if distances:
        for index, clip in enumerate(suite.reference()):
            read("reference", clip.video, parse=False)
            progress("reference clips", index + 1, suite.count)
    if model_fn:
        first["model"] = []
        for index, video in enumerate(model_fn(prompts)):
            if index < show:
                first["model"].append(video)
            read("model", video)
            progress("generated clips", index + 1, suite.count)

    scores, mistakes = _judged(suite, columns, facts)
    if fidelity:
        scores["psnr"] = {"codec": _sure(mean_estimate(np.array(fidelity)))}
    if distances:
        reference = columns.pop("reference")
        work = [(e.name, name, c) for e in extractors for name, c in columns.items() if c.features]
        for index, (metric, name, column) in enumerate(work):
            clips, against = np.stack(column.features[metric]), np.stack(reference.features[metric])
            scores.setdefault(metric, {})[name] = frechet_estimate(clips, against)
            progress("distances", index + 1, len(work))
    return Evaluation(suite=suite, scores=scores, mistakes=mistakes, prompts=prompts, first=first)


def _judged(
    suite: Suite, columns: dict[str, Column], facts: list[Facts]
) -> tuple[dict[str, dict[str, Estimate]], dict[str, dict[str, int]]]:
    """(scores, mistakes) of every column that was parsed, and of chance."""
    asked = {name: (column.parsed, facts) for name, column in columns.items() if column.parsed}
    worst = columns.get("model", columns["real"])
    asked["shuffled"] = (worst.parsed, [facts[other] for other in suite.shuffle()])
    scores: dict[str, dict[str, Estimate]] = {}
    mistakes: dict[str, dict[str, int]] = {}
    for name, (parsed, truth) in asked.items():
        rows = [judge(p, f) for p, f in zip(parsed, truth, strict=True)]
        if name == "shuffled":  # the laws of motion do not depend on the prompt: shuffle time instead
            rows = [
                r | motion(_shaken(p), f, suite.size) for r, p, f in zip(rows, parsed, facts, strict=True)
            ]
        else:
            rows = [r | physics(p, f, suite.size) for r, p, f in zip(rows, parsed, truth, strict=True)]
            mistakes[name] = _confusions(parsed, truth)
        for question in rows[0]:
            estimate = mean_estimate(np.array([row[question] for row in rows]))
            if estimate:
                scores.setdefault(question, {})[name] = estimate
    if len({len(f.objects) for f in facts}) == 1:  # then it is what `count` says
        scores = {question: row for question, row in scores.items() if not question.startswith("count ")}
    order = [*RIGHT, *PHYSICS]
    return {question: scores[question] for question in order if question in scores}, mistakes


def _shaken(parsed: Parsed) -> Parsed:
    """The same objects with their frames in a random order."""
    rng = np.random.default_rng(0)
    objects = []
    for track in parsed.objects:
        order = rng.permutation(len(track.path))
        objects.append(replace(track, path=track.path[order], area=track.area[order]))
    return replace(parsed, objects=tuple(objects))


def _confusions(parsed: list[Parsed], facts: list[Facts]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for p, f in zip(parsed, facts, strict=True):
        pairs = [("event", f.event, p.event), ("camera", f.camera, p.camera)]
        pairs.append(("objects", str(len(f.objects)), str(len(p.objects))))
        for what, asked, seen in pairs:
            if asked != seen:
                key = f"{what}: {asked} seen as {seen}"
                counts[key] = counts.get(key, 0) + 1
    return dict(sorted(counts.items(), key=lambda item: -item[1]))


def _sure(estimate: Estimate | None) -> Estimate:
    assert estimate is not None
    return estimate


def psnr(video: Video, reference: Video) -> float:
    """Peak signal to noise ratio over a clip, dB, at most 100."""
    error = (video.frames.astype(np.float64) - reference.frames.astype(np.float64)) ** 2
    return float(min(10 * np.log10(255**2 / max(error.mean(), 1e-12)), 100.0))
