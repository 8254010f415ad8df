"""Progress on stderr: a live bar per stage in a terminal, a line per finished stage in a log."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from sorairo.cli.terminal import safe

__all__ = ["Stages"]

EVERY = 30.0
"""Seconds between two lines of progress in a log."""


class Stages:
    """Stages that follow one another, used as `with Stages() as stages: stages("load")`.

    Calling it with (stage, done, total) shows how far that stage is; a stage ends when the next one begins.
    timings: seconds of each stage that has ended. remaining: whether the time left is shown, and in a log a line every
    half minute.
    """

    def __init__(self, remaining: bool = False) -> None:
        self.remaining, self.told = remaining, 0.0
        self.timings: dict[str, float] = {}
        self.stage: str | None = None
        self.task = TaskID(0)
        self.start = 0.0
        self.console = Console(stderr=True)
        self.bars = Progress(
            TextColumn("{task.description:<8}"),
            BarColumn(32),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            *([TextColumn("left"), TimeRemainingColumn()] if remaining else []),
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
            self.stage, self.start = stage, time.perf_counter()
            self.task = self.bars.add_task(stage, total=total)
            self.told = self.start
        self.bars.update(self.task, completed=done, total=total)
        now = time.perf_counter()
        if self.remaining and not self.console.is_terminal and now - self.told > EVERY and done:
            self.told = now
            left = (now - self.start) * (total - done) / done
            self.console.print(f"{stage:<8} {done} of {total}, {left:.0f} s left", highlight=False)

    def say(self, sentence: str) -> None:
        """A line above the bars."""
        self.console.print(f"sorairo: {safe(sentence)}", highlight=False, markup=False, soft_wrap=True)

    def end(self) -> None:
        """The present stage, if there is one, is done."""
        if self.stage is None:
            return
        seconds = time.perf_counter() - self.start
        self.timings[self.stage] = self.timings.get(self.stage, 0.0) + seconds
        self.bars.update(self.task, completed=self.bars.tasks[self.task].total)
        self.bars.stop_task(self.task)
        if not self.console.is_terminal:
            self.console.print(f"{self.stage:<8} {seconds:6.2f} s", highlight=False)
        self.stage = None
