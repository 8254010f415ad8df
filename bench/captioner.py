"""What the captioner of the worlds says, against the truth: python bench/captioner.py [--weights FILE] [--count 60]

Held-out clips of the first two circles, which neither training nor the parser has seen. Every sentence is read back by
the grammar that reads prompts, and what it says is compared with the simulator's state. Beside it: the parser with the
world's own templates (its best guess of the same facts, written as the world writes), and chance: the captions of other
clips. Counts of right answers.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from sorairo.data.captions.trained import SHIPPED, Trained
from sorairo.evaluation.parse import Parsed, load_parser
from sorairo.evaluation.suites import Facts, facts_of
from sorairo.prompts.grammar import Facts as Said
from sorairo.prompts.grammar import Thing
from sorairo.prompts.studio import studio_caption, studio_grammar
from sorairo.prompts.understand import understand
from sorairo.worlds import get_world

FIRST = 43_000_000
QUESTIONS = ("objects", "colours", "shapes", "count", "event", "camera", "place", "all")


def answers(text: str, facts: Facts, place: tuple[str, str]) -> dict[str, float]:
    """Right (1) or wrong (0): what a sentence says of a clip. objects: colour and shape of all. place: floor, sky."""
    said = understand(text, studio_grammar())
    things = [*said.actors, *(thing for _, thing in said.others)]
    named = [(thing.colour, thing.shape) for thing in things]
    truth = list(facts.objects)
    right = {
        "objects": Counter(named) == Counter(truth),
        "colours": Counter(c for c, _ in named) == Counter(c for c, _ in truth),
        "shapes": Counter(s for _, s in named) == Counter(s for _, s in truth),
        "count": len(named) == len(truth),
        "event": said.event == facts.event,
        "camera": (said.camera or "still") == facts.camera,
        "place": (said.floor, said.sky) == place,
    }
    right["all"] = right["objects"] and right["event"] and right["camera"]
    return {name: float(value) for name, value in right.items()}


def subject(text: str, facts: Facts) -> dict[str, float]:
    """The same of the short sentence, which names an object that is there and the event."""
    said = understand(text, studio_grammar())
    first = {(thing.colour, thing.shape) for thing in said.actors}
    there = bool(first) and first <= set(facts.objects)
    return {"object": float(there), "event": float(said.event == facts.event)}


def written(parsed: Parsed) -> str:
    """The parser's reading as the world's own exact caption; what it does not read is taken as most clips have it."""
    grammar = studio_grammar()
    event = next(one for one in grammar.events if one.name == parsed.event)
    things = [
        Thing(shape=shape, colour=colour, size="medium", material="matte") for colour, shape in parsed.names()
    ]
    while len(things) < event.long.count("{a}") + event.long.count("{b}"):
        things.append(
            replace(things[0])
            if things
            else Thing(shape="ball", colour="red", size="medium", material="matte")
        )
    actors = max(1, event.long.count("{a}") + event.long.count("{b}"))
    facts = Said(
        event=event.name,
        variant=event.variant,
        actors=tuple(things[:actors]),
        others=tuple(("near", thing) for thing in things[actors:]),
        direction="to the right",
        times=1,
        floor="cream",
        sky="clear",
        camera=parsed.camera,
    )
    return studio_caption(facts)


def row(name: str, rows: Sequence[dict[str, float]], questions: Sequence[str]) -> str:
    cells = [f"{sum(one[question] for one in rows):.0f} of {len(rows)}" for question in questions]
    return f"| {name} | " + " | ".join(cells) + " |"


def main(weights: Path, count: int, out: Path) -> None:
    torch.set_num_threads(1)
    captioner, parser, world = Trained(weights), load_parser(), get_world("studio")
    out.mkdir(parents=True, exist_ok=True)
    examples = []
    for circle in (0, 1):
        rows: dict[str, list[dict[str, float]]] = {
            "captioner": [],
            "parser and templates": [],
            "captions of others": [],
        }
        subjects, spent = [], 0.0
        made: list[tuple[str, Facts, tuple[str, str]]] = []
        for seed in range(FIRST + 10_000 * circle, FIRST + 10_000 * circle + count):
            clip = world.clip(
                seed, size=(96, 96) if seed % 4 == 0 else (64, 64), circle=circle, split="heldout"
            )
            facts = facts_of(clip)
            place = (str(clip.state["floor"]), str(clip.state["sky"]))
            began = time.process_time()
            short, long = captioner.caption(clip.video.frames, clip.video.fps)
            spent += time.process_time() - began
            rows["captioner"].append(answers(long, facts, place))
            subjects.append(subject(short, facts))
            rows["parser and templates"].append(answers(written(parser(clip.video)), facts, place))
            made.append((long, facts, place))
            examples.append({"said": [short, long], "true": clip.captions.long})
        for index, (_, facts, place) in enumerate(made):
            rows["captions of others"].append(answers(made[(index + 1) % count][0], facts, place))
        print(f"\ncircle {circle}, {count} clips, {1000 * spent / count:.0f} processor ms a clip\n")
        print("| | " + " | ".join(QUESTIONS) + " |\n|---|" + "---:|" * len(QUESTIONS))
        for name, found in rows.items():
            print(row(name, found, QUESTIONS))
        print(row("its subject alone (an object, its event)", subjects, ("object", "event")), flush=True)
    (out / "examples.json").write_text(json.dumps(examples, indent=1))


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--weights", type=Path, default=SHIPPED)
    ask.add_argument("--count", type=int, default=60)
    ask.add_argument("--out", type=Path, default=Path("runs/captioner"))
    main(**vars(ask.parse_args()))
