"""Time left, on the progress that commands show: right within 20% after three steps."""

from __future__ import annotations

import random

import pytest

from sorairo.cli.progress import Stages

FIRST = 60.0  # compiling, or reading weights that are then there


class Clock:
    """Seconds that a test lets pass."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def steps(kind: str, count: int) -> list[float]:
    """Seconds of each step."""
    draw = random.Random(0)
    if kind == "even":
        return [10.0] * count
    if kind == "uneven":
        return [10.0 * draw.uniform(0.9, 1.1) for _ in range(count)]
    if kind == "compiled":
        return [FIRST, *(10.0 * draw.uniform(0.9, 1.1) for _ in range(count - 1))]
    return [FIRST, *(16.0 if step % 2 else 4.0 for step in range(count - 1))]  # --cache


@pytest.mark.parametrize("kind", ["even", "uneven", "compiled", "skipped"])
def test_time_left_is_right_within_a_fifth_after_three_steps(kind: str) -> None:
    clock, took = Clock(), steps(kind, 20)
    with Stages(remaining=True, clock=clock) as stages:
        stages("denoise", 0, 20)
        for done, seconds in enumerate(took, 1):
            clock.now += seconds
            stages("denoise", done, 20)
            left = stages.seconds_left(stages.bars.tasks[stages.task])
            if 3 <= done < 20:
                to_come = sum(took[done:])
                slack = 12.0 if kind == "skipped" else 0.0  # the rest may begin or end with a skipped step
                assert left is not None and abs(left - to_come) <= 0.2 * to_come + slack
        assert left == 0


def test_a_log_says_it_every_half_minute_and_a_second_clip_begins_anew(
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock = Clock()
    with Stages(remaining=True, clock=clock) as stages:
        for start in (0, 4):
            stages("denoise", start, 8)
            for done in range(start + 1, start + 5):
                clock.now += 20
                stages("denoise", done, 8)
            stages("decode")
            clock.now += 500  # of another stage, which says nothing of the steps
    lines = [line.split(maxsplit=1)[1] for line in capsys.readouterr().err.splitlines() if "left" in line]
    assert lines == ["2 of 8, 120 s left", "4 of 8, 80 s left", "6 of 8, 40 s left"]
