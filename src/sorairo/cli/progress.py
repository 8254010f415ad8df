"""Progress on stderr: a live bar per stage in a terminal, a line per finished stage in a log."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text

from sorairo.cli.terminal import safe

__all__ = ["Left", "Stages"]

EVERY = 30.0
"""Seconds between two lines of progress in a log."""


class Left:
    """How long a stage still takes, by the steps that are done.

    The first counts only while it is the only one: it compiles, and reads weights that are then there. An even number
    of steps is averaged after that, where there are as many, since skipped steps (--cache) alternate with full ones.
    """

    def __init__(self, now: float, done: int = 0) -> None:
        """done: how many were over before, as after another stage between."""
        self.times, self.done = [now], [done]

    def add(self, done: int, now: float) -> None:
        """`done` steps are over."""
        if done > self.done[-1]:
            self.times.append(now)
            self.done.append(done)

    def seconds(self, total: int, now: float) -> float | None:
        """Seconds until all are over; None before the first one is."""
        if len(self.done) < 2:
            return None
        first = 1 if len(self.done) > 2 else 0
        if len(self.done) > 3 and (len(self.done) - 1 - first) % 2:
            first += 1
        pace = (self.times[-1] - self.times[first]) / (self.done[-1] - self.done[first])
        return max(0.0, pace * (total - self.done[-1]) - (now - self.times[-1]))


class LeftColumn(ProgressColumn):
    """Left's estimate, as minutes and seconds."""

    max_refresh = 0.5

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self.stages = stages

    def render(self, task: Task) -> Text:
        left = None if task.finished else self.stages.seconds_left(task)
        if left is None:
            return Text("")
        minutes, seconds = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours}:{minutes:02}:{seconds:02} left", style="progress.remaining")


class Stages:
    """Stages that follow one another, used as `with Stages() as stages: stages("load")`.

    Calling it with (stage, done, total) shows how far that stage is; a stage ends when the next one begins.
    timings: seconds of each stage that has ended. remaining: whether the time left is shown, and in a log a line every
    half minute. clock: seconds that only grow.
    """

    def __init__(self, remaining: bool = False, clock: Callable[[], float] = time.perf_counter) -> None:
        self.remaining, self.clock, self.told = remaining, clock, 0.0
        self.timings: dict[str, float] = {}
        self.stage: str | None = None
        self.task = TaskID(0)
        self.start = 0.0
        self.left = Left(0.0)
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            *([LeftColumn(self)] if remaining else []),
            console=self.console,
            disable=not self.console.is_terminal,
        )

    def __enter__(self) -> Self:
        self.bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.end()
        self.bars.stop()

    def __call__(self, stage: str, done: int = 0, total: int = 1) -> None:
        if stage != self.stage:
            self.end()
            self.stage, self.start = stage, self.clock()
            self.task = self.bars.add_task(stage, total=total)
            self.told, self.left = self.start, Left(self.start, done)
        self.bars.update(self.task, completed=done, total=total)
        now = self.clock()
        self.left.add(done, now)
        left = self.left.seconds(total, now)
        in_log = self.remaining and not self.console.is_terminal and done < total
        if in_log and now - self.told > EVERY and left is not None:
            self.told = now
            self.console.print(f"{stage:<8} {done} of {total}, {left:.0f} s left", highlight=False)

    def seconds_left(self, task: Task) -> float | None:
        """Of the present stage; None for others, and before its first step is over."""
        if task.id != self.task or self.stage is None or task.total is None:
            return None
        return self.left.seconds(int(task.total), self.clock())

    def say(self, sentence: str) -> None:
        """A line above the bars."""
        self.console.print(f"sorairo: {safe(sentence)}", highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        """The present stage, if there is one, is done."""
        if self.stage is None:
            return
        seconds = self.clock() - self.start
        self.timings[self.stage] = self.timings.get(self.stage, 0.0) + seconds
        self.bars.update(self.task, completed=self.bars.tasks[self.task].total)
        self.bars.stop_task(self.task)
        if not self.console.is_terminal:
            self.console.print(f"{self.stage:<8} {seconds:6.2f} s", highlight=False)
        self.stage = None
