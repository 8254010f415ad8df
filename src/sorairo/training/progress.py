"""What a person sees of a run: a live panel in a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections import deque
from dataclasses import dataclass
from statistics import fmean

from rich.console import Console
from rich.live import Live
from rich.table import Table

__all__ = ["Progress", "View"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """One step's news. clips, tokens, flops: of this step. left: seconds of the time that was given (inf: no limit)."""

    step: int
    steps: int | None
    loss: float
    parts: dict[str, float]
    lr: float
    norm: float
    seconds: float
    clips: int
    tokens: int
    flops: float
    left: float


class View:
    """Call it with the Progress of every step; it shows averages over the last hundred.

    Rates leave out steps many times longer than usual, in which something was compiled.
    """

    def __init__(self, plain_every: float = 30.0):
        self._live = None
        if sys.stderr.isatty():
            self._live = Live(console=Console(stderr=True), refresh_per_second=2, transient=False)
        self._plain_every = plain_every
        self._last = 0.0
        self._recent: deque[Progress] = deque(maxlen=100)

    def __enter__(self) -> View:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def __call__(self, news: Progress) -> None:
        self._recent.append(news)
        if time.monotonic() - self._last < (0.5 if self._live else self._plain_every):
            return
        self._last = time.monotonic()
        rows = self._rows(news)
        if self._live:
            table = Table.grid(padding=(0, 2))
            for name, value in rows.items():
                table.add_row(name, value)
            self._live.update(table)
        else:
            log.info("%s", "  ".join(f"{name} {value}" for name, value in rows.items()))

    def _rows(self, news: Progress) -> dict[str, str]:
        recent = self._recent
        usual = sorted(step.seconds for step in recent)[len(recent) // 2]
        timed = [step for step in recent if step.seconds <= 5 * usual]
        seconds = max(sum(step.seconds for step in timed), 1e-9)

        rows = {"step": f"{news.step}" + (f" of {news.steps}" if news.steps else "")}
        rows["loss"] = f"{fmean(step.loss for step in recent):.4f}"
        for name in news.parts:  # a part may be missing in some steps
            rows[name] = f"{fmean(step.parts[name] for step in recent if name in step.parts):.4f}"
        rows["norm"] = f"{fmean(step.norm for step in recent):.2f}"
        rows["lr"] = f"{news.lr:.2e}"
        rows["clips/s"] = f"{sum(step.clips for step in timed) / seconds:.1f}"
        rows["tokens/s"] = f"{sum(step.tokens for step in timed) / seconds:.0f}"
        rows["TFLOP/s"] = f"{sum(step.flops for step in timed) / seconds / 1e12:.3f}"
        rows["s/step"] = f"{seconds / len(timed):.2f}"
        left = news.left
        if news.steps:  # at the pace of late: what was slow at first, or on another machine, says little
            left = min(left, (news.steps - news.step - 1) * seconds / len(timed))
        if math.isfinite(left):
            rows["left"] = f"{int(left) // 3600}:{int(left) // 60 % 60:02d}:{int(left) % 60:02d}"
        return rows
