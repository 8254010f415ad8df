"""What the leading process of a run writes while it goes on: the log, the live view, samples and checkpoints."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from sorairo.training.metrics import MetricsLog
from sorairo.training.progress import Progress, View

if TYPE_CHECKING:
    from sorairo.training.loop import Trainer

__all__ = ["Books"]


class Books:
    """Open while the run goes on; closing writes the last checkpoint, whatever ended the run without an error."""

    def __init__(self, trainer: Trainer):
        self.trainer, config = trainer, trainer.config
        self.metrics = MetricsLog(trainer.run_dir, trainer.step, config.tensorboard)
        self.view = View()
        self.saved, self.saved_at = trainer.step, time.monotonic()

    def __enter__(self) -> Books:
        self.view.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.view.__exit__(kind, *rest)
        try:
            if kind is None and self.saved != self.trainer.step:
                self.save()
        finally:
            self.metrics.close()

    def enter(self, news: Progress) -> None:
        """One step is done."""
        trainer, config = self.trainer, self.trainer.config
        self.metrics.write(news.step, {"loss": news.loss, **news.parts, "norm": news.norm, "lr": news.lr})
        self.view(news)
        if config.sample_every and trainer.step % config.sample_every == 0:
            trainer.sample(self.metrics)
        if time.monotonic() - self.saved_at > config.checkpoint_minutes * 60:
            self.save()

    def save(self) -> None:
        """A checkpoint, after every line of the log that leads to it."""
        self.metrics.flush()
        self.trainer.save()
        self.saved, self.saved_at = self.trainer.step, time.monotonic()
