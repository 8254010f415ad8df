"""People's own words: prompts that no template made, with what must be seen; scored like a suite, person by person."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from sorairo.evaluation.judge import judge
from sorairo.evaluation.metrics import Estimate, mean_estimate
from sorairo.evaluation.parse import Parser
from sorairo.evaluation.suites import Facts, Prompt
from sorairo.types import Video

__all__ = ["QUESTIONS", "OwnWords", "own_words", "score_own_words"]

FILE = "own_words.toml"
QUESTIONS = ("objects", "count", "colours", "shapes", "event")
FIRST_SEED = 900_000_000  # of the noise; far from every suite's


@dataclass(frozen=True, kw_only=True)
class OwnWords:
    """One prompt, who says it, and what must be seen."""

    person: str
    prompt: Prompt
    facts: Facts


def own_words(
    size: tuple[int, int] = (96, 96), frames: int = 17, fps: float = 8.0, most: int | None = None
) -> list[OwnWords]:
    """All prompts, in the file's order. most: objects; prompts that ask for more are left out."""
    people = tomllib.loads(files("sorairo.evaluation").joinpath(FILE).read_text())
    found = []
    for person, values in people.items():
        for text, objects, event in values["prompts"]:
            names = tuple((name.split()[0], name.split()[1]) for name in objects)
            if most is None or len(names) <= most:
                prompt = Prompt(text=text, seed=FIRST_SEED + len(found), size=size, frames=frames, fps=fps)
                facts = Facts(objects=names, event=event, camera="still")
                found.append(OwnWords(person=person, prompt=prompt, facts=facts))
    return found


def score_own_words(
    asked: Sequence[OwnWords],
    parser: Parser,
    model_fn: Callable[[Sequence[Prompt]], Iterable[Video]],
    progress: Callable[[str, int, int], None] = lambda stage, done, of: None,
) -> dict[str, dict[str, Estimate]]:
    """person (and "all") -> question -> the share that is right."""
    rows: dict[str, list[dict[str, float]]] = {}
    for index, (one, video) in enumerate(zip(asked, model_fn([one.prompt for one in asked]), strict=True)):
        scores = judge(parser(video), one.facts)
        rows.setdefault(one.person, []).append(scores)
        rows.setdefault("all", []).append(scores)
        progress("generated clips", index + 1, len(asked))
    made: dict[str, dict[str, Estimate]] = {}
    for person, scores in rows.items():
        estimates = {q: mean_estimate(np.array([row[q] for row in scores])) for q in QUESTIONS}
        made[person] = {question: estimate for question, estimate in estimates.items() if estimate}
    return made
