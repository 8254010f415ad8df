"""What expansion is worth: short prompts as people write them, as they are and expanded, on the same clips and seeds.

python bench/expand.py                                  # 8 prompts of circle 0, the default model: a look
python bench/expand.py --model FOLDER --circle 1 --prompts 200

Prints the share of clips with the right objects, event and camera, beside that of the exact captions (the most that
expansion could give) and of real clips. Three clips are made for each prompt.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence

import sorairo
from sorairo.evaluation.evaluate import evaluate
from sorairo.evaluation.judge import RIGHT
from sorairo.evaluation.parse import load_parser
from sorairo.evaluation.suites import Prompt, Suite
from sorairo.generation.generate import Model, generate
from sorairo.prompts.expand import expand
from sorairo.prompts.studio import studio_grammar
from sorairo.types import Plan, Span, Video


def main(model: str, circle: int, prompts: int, steps: int | None) -> None:
    suite = Suite(circle=circle, count=prompts)
    said = [clip.captions for clip in suite.clips()]
    short = [captions.short for captions in said]
    texts = {
        "short": short,
        "expanded": [expand(text, studio_grammar()).text for text in short],
        "exact": [captions.long for captions in said],
    }
    loaded, parser = sorairo.load(model), load_parser()
    rows: dict[str, dict[str, str]] = {}
    for name, lines in texts.items():
        made = evaluate(suite, parser, model_fn=maker(loaded, lines, steps), distances=False, show=0)
        for question in RIGHT:
            for column, key in (("model", name), ("real", "real")):
                estimate = made.scores.get(question, {}).get(column)
                if estimate:
                    cell = f"{100 * estimate.value:.0f} [{100 * estimate.low:.0f}, {100 * estimate.high:.0f}]"
                    rows.setdefault(question, {})[key] = cell
    columns = [*texts, "real"]
    print(f"| {prompts} prompts of circle {circle} | " + " | ".join(columns) + " |")
    print("|---|" + "---:|" * len(columns))
    for question, row in rows.items():
        print(f"| right {RIGHT[question]}, % | " + " | ".join(row.get(name, "") for name in columns) + " |")


def maker(
    loaded: Model, texts: Sequence[str], steps: int | None
) -> Callable[[Sequence[Prompt]], Iterator[Video]]:
    """prompts -> clips of these texts in their place, with the seeds of the prompts."""

    def make(prompts: Sequence[Prompt]) -> Iterator[Video]:
        for prompt, text in zip(prompts, texts, strict=True):
            plan = Plan(
                size=prompt.size,
                frames=prompt.frames,
                fps=prompt.fps,
                spans=(Span(text=text),),
                seed=prompt.seed,
                steps=steps,
            )
            yield generate(plan, loaded)[0].video

    return make


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--model", default="default")
    ask.add_argument("--circle", type=int, default=0)
    ask.add_argument("--prompts", type=int, default=8)
    ask.add_argument("--steps", type=int, default=None)
    main(**vars(ask.parse_args()))
