"""The table of verbs on a toy world, made by a careful model, which meets every target, and by a careless one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from sorairo import tasks
from sorairo.evaluation.network import ParserNetwork
from sorairo.evaluation.parse import Parser
from sorairo.evaluation.suites import Facts
from sorairo.evaluation.targets import TARGETS, table, verdicts
from sorairo.evaluation.verbs import MEASURES, Bench, Case, measure_verbs
from sorairo.types import Plan, Video
from tests.evaluation.toy import CONFIG

SIZE, FRAMES = (48, 32), 13
MODEL = tasks.Abilities(
    name="toy", sizes=(SIZE,), max_frames=17, default_frames=13, fps=8.0, step=4, conditioning=("frames",)
)


def moving(start: float, shade: int) -> Video:
    """A bar that moves to the right, a pixel a frame."""
    frames = np.full((FRAMES, SIZE[1], SIZE[0], 3), 200, np.uint8)
    for index, frame in enumerate(frames):
        frame[8:24, int(start) + index : int(start) + index + 8] = shade
    return Video(frames=frames, fps=8.0)


CASES = [
    Case(
        clip=moving(4 + index, 40),
        words="A red ball drops onto the floor.",
        facts=Facts(objects=(("red", "ball"),), event="drop", camera="still"),
        other=moving(12, 90),
        large=lambda: moving(8, 60),
        seed=index,
    )
    for index in range(2)
]


def careful(plan: Plan) -> Video:
    """Known frames as they are, an edit as far from its clip as it may be, all else the nearest known frame."""
    width, height = plan.size
    frames = np.full((plan.frames, height, width, 3), 120, np.uint8)
    firm = [k for k in plan.known if k.hold == 1 and k.region is None]
    for known in plan.known:
        change = round(60 * (1 - known.hold))
        inside = np.zeros((height, width, 1), bool)
        x, y, w, h = known.region or (0, 0, width, height)
        inside[y : y + h, x : x + w] = True
        frames[known.at : known.at + len(known.video)] = np.where(
            inside, np.clip(known.video.frames.astype(int) - change, 0, 255), known.video.frames
        )
    places = [f for k in plan.known for f in range(k.at, k.at + len(k.video))]
    if firm:
        for frame in set(range(plan.frames)) - set(places):
            frames[frame] = frames[min(places, key=lambda place: abs(place - frame))]
    return Video(frames=frames, fps=plan.fps)


def careless(plan: Plan) -> Video:
    width, height = plan.size
    values = np.random.default_rng(plan.seed).integers(0, 255, (plan.frames, height, width, 3))
    return Video(frames=values.astype(np.uint8), fps=plan.fps)


@pytest.fixture(scope="module")
def parser() -> Parser:
    torch.manual_seed(0)
    return Parser(ParserNetwork(CONFIG))


def bench(parser: Parser, make) -> Bench:
    def checked(plan: Plan) -> Video:
        MODEL.check(plan)
        return make(plan)

    return Bench(model=MODEL, make=checked, through=lambda clip: clip, parser=parser, ask=tasks.Ask(), long=2)


def test_every_target_is_measured_and_met_by_a_careful_model(parser: Parser) -> None:
    ticks: list[None] = []
    numbers = measure_verbs(bench(parser, careful), CASES, done=lambda: ticks.append(None))
    # this parser has learned nothing and sees no objects
    unseen = {"extend.onward", "extend.velocity", "extend.real", "animate.motion", "animate.real"}
    assert set(numbers) == set(TARGETS) and len(ticks) == 2 * len(MEASURES) - 1
    found = {one.name: one for one in verdicts(numbers)}
    assert set(TARGETS) - set(found) <= unseen
    kept = ("extend.kept", "before.kept", "connect.kept", "recut.kept", "edit.monotone", "blend.ends")
    for name in (*kept, "animate.first", "edit.outside", "extend.seam", "before.seam", "blend.monotone"):
        assert found[name].met, (name, found[name].estimate)
    text = table(found.values())
    assert text.startswith("| verb |") and "| extend | given frames untouched | 100%" in text
    assert "≥ 30: yes" in text


def test_every_clip_is_long_when_nothing_else_is_asked(parser: Parser) -> None:
    numbers = measure_verbs(bench(parser, careful), CASES, verbs=["long"])
    assert set(numbers) == {"long.colour", "long.count", "long.objects"}
    assert len(numbers["long.objects"]) == len(CASES)


def test_a_careless_model_misses_targets(parser: Parser) -> None:
    numbers = measure_verbs(bench(parser, careless), CASES[:1], verbs=["extend", "recut", "loop", "edit"])
    assert not any(name.startswith(("blend", "long", "animate")) for name in numbers)
    for one in verdicts(numbers):
        if one.name in ("extend.kept", "extend.seam", "before.kept", "recut.kept", "edit.outside"):
            assert one.met is False, one
