"""The loop: batches in, updates, logs, samples and checkpoints out. The same command again continues, bit for bit."""

from __future__ import annotations

import logging
import math
import signal
import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from sorairo.files import whole_folder
from sorairo.training.metrics import MetricsLog
from sorairo.training.objective import Objective
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import Optimizer
from sorairo.training.parallel.placement import Placement
from sorairo.training.prefetch import Prefetch
from sorairo.training.progress import Progress, View
from sorairo.training.rng import torch_rng
from sorairo.training.run_folder import StopFlag, check_settings, only_process
from sorairo.training.settings import EARLIER, MAY_CHANGE, SAME, TrainConfig
from sorairo.training.state import RunState, latest_state, save_state
from sorairo.types import UserError

__all__ = ["Objective", "Outcome", "TrainConfig", "Trainer", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class News:
    """One step: what there is to show of it, and whether a signal came or the time is over, for all of the team."""

    progress: Progress
    stopped: bool
    ended: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Why the loop returned: "done" (steps or hours reached) or "stopped" (by the signal of that number)."""

    step: int
    reason: Literal["done", "stopped"]
    signal: int | None = None


def train(
    objective: Objective,
    config: TrainConfig,
    run_dir: Path,
    *,
    hours: float | None = None,
    accept_changes: bool = False,
) -> Outcome:
    """Train in `run_dir`, from its last checkpoint if it has one, to config.steps or `hours` of training in all.

    Writes checkpoints/, metrics.jsonl, tensorboard/, samples/ and, at the end, export/. Raises UserError when the
    settings differ from those the run began with, when another process trains there, or when it cannot be written.
    """
    placement = placed(config)
    leads = placement.team.leads
    with only_process(run_dir) if leads else nullcontext():
        if leads:
            now = {"train": asdict(config), "objective": objective.settings()}
            check_settings(run_dir / "settings.json", now, MAY_CHANGE, accept_changes, EARLIER, SAME)
        trainer = Trainer(objective, config, run_dir, placement)
        outcome = trainer.run(hours)
        if outcome.reason == "done" and leads:
            trainer.export(run_dir / "export")
        return outcome


def placed(config: TrainConfig) -> Placement:
    """Where a run with these settings is trained. Raises UserError when there is no such device."""
    return Placement.choose(
        config.device, config.dtype, compile=config.compile, checkpointing=config.checkpointing
    )


class Trainer:
    """One objective's optimiser, average and step counter, restored from the run folder."""

    def __init__(
        self,
        objective: Objective,
        config: TrainConfig,
        run_dir: Path,
        placement: Placement | None = None,
    ):
        self.objective, self.config, self.run_dir = objective, config, run_dir
        self.placement = placement or placed(config)
        self.team = self.placement.team
        if config.threads:
            torch.set_num_threads(config.threads)
        self.placement.place(objective.models)
        named = self.placement.parameters(objective.models)
        self.optimizer = Optimizer(named, config.optim, self.placement.dtype, self.team)
        self.ema = Ema(self.optimizer.weights, config.ema_decay)
        self.step, self.seconds, self.bad = 0, 0.0, 0
        state = latest_state(run_dir / "checkpoints")
        if state:
            self.restore(state)
            log.info("continuing %s from step %d", run_dir, self.step)

    def run(self, hours: float | None = None) -> Outcome:
        """Step until the end; a checkpoint at the end, every few minutes and at a signal (to any process)."""
        stop, limit = StopFlag(), math.inf if hours is None else hours * 3600
        batches = Prefetch(self.batch, self.step)
        stopped, ended = False, self.seconds >= limit
        try:
            with stop.watching(), Recorder(self) if self.team.leads else nullcontext() as recorder:
                while not (stopped or ended or self.step == self.config.steps):
                    news = self.one(batches.get(), limit, bool(stop))
                    stopped, ended = news.stopped, news.ended
                    if recorder:
                        recorder.record(news.progress)
        finally:
            batches.close()
        if stopped:
            log.info("stopped and saved at step %d; the same command continues", self.step)
            return Outcome(step=self.step, reason="stopped", signal=stop.signal or signal.SIGTERM)
        return Outcome(step=self.step, reason="done")

    def batch(self, step: int) -> object:
        """This process's share of the batch of a step, on its device."""
        return self.placement.put(self.objective.batch(step, self.team.share))

    def one(self, batch: object, limit: float = math.inf, stop: bool = False) -> News:
        """One update of the whole team. limit: the seconds of training after which the run ends. stop: whether this
        process was told to stop."""
        began, step, config = time.perf_counter(), self.step, self.config
        torch.manual_seed(torch_rng(config.seed, step).initial_seed())
        loss, parts = self.objective.loss(batch, step, self.team.share)
        loss.backward()
        value, stopped, ended = self.placement.average(
            self.optimizer.working.values(), float(loss.detach()), float(stop), float(self.seconds >= limit)
        )
        scale = config.schedule(step)
        norm = self.optimizer.step(scale)
        if math.isfinite(norm) and math.isfinite(value):
            self.ema.update(self.optimizer.weights, self.optimizer.steps - 1)
            self.bad = 0
        else:
            self.bad += 1
            log.warning("step %d: the loss is %g and the gradient %g; nothing was changed", step, value, norm)
            if self.bad >= config.patience:
                raise UserError(
                    f"{self.bad} steps in a row were not finite: lower the learning rate and start again."
                )
        self.step += 1
        spent = time.perf_counter() - began
        self.seconds += spent
        clips, tokens = self.objective.count(batch)
        everyone = self.team.share.of
        progress = Progress(
            step=step,
            steps=config.steps,
            loss=value,
            parts={name: float(part) for name, part in parts.items()},
            lr=scale * config.optim.lr,
            norm=norm,
            seconds=spent,
            clips=clips * everyone,
            tokens=tokens * everyone,
            flops=self.objective.flops(batch) * everyone,
            left=limit - self.seconds,
        )
        return News(progress=progress, stopped=stopped > 0, ended=ended > 0)

    def sample(self, metrics: MetricsLog) -> None:
        """Samples and scores of the averaged weights."""
        folder = self.run_dir / "samples" / f"step-{self.step:08d}"
        with self.ema.inside(self.optimizer.working), whole_folder(folder) as temporary, torch.no_grad():
            scores = self.objective.sample(temporary, self.step)
        if scores:
            log.info(
                "step %d: %s", self.step, "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
            )
            metrics.write(self.step - 1, {f"score/{name}": value for name, value in scores.items()})

    def export(self, folder: Path) -> None:
        """The averaged weights as users load them."""
        with self.ema.inside(self.optimizer.working), whole_folder(folder) as temporary, torch.no_grad():
            self.objective.export(temporary)
        log.info("exported %s", folder)

    def save(self) -> None:
        """A checkpoint of this moment."""
        save_state(
            self.run_dir / "checkpoints",
            RunState(
                step=self.step,
                seconds=self.seconds,
                tensors=self.optimizer.state() | self.ema.state() | self._buffers(),
                extra={"bad": self.bad},
            ),
        )

    def restore(self, state: RunState) -> None:
        """Take a checkpoint's place. Raises UserError when it is of another network."""
        missing = (self.optimizer.state() | self.ema.state()).keys() - state.tensors.keys()
        if missing:
            raise UserError(
                f"{self.run_dir} holds a run of another network ({min(missing)} is missing in it)."
            )
        self.optimizer.load(state.tensors)
        self.ema.load(state.tensors)
        for name, buffer in self._buffers().items():
            buffer.copy_(state.tensors[name])
        self.step, self.seconds, self.bad = state.step, state.seconds, state.extra["bad"]

    def _buffers(self) -> dict[str, torch.Tensor]:
        return {
            f"buffers/{model}.{name}": module.state_dict()[name]
            for model, module in self.objective.models.items()
            for name, _ in module.named_buffers()
            if name in module.state_dict()
        }


class Recorder:
    """What the leading process writes while the run goes on: the log, the live view, samples and checkpoints.

    Closing it writes the last checkpoint, whatever ended the run without an error.
    """

    def __init__(self, trainer: Trainer):
        self.trainer, config = trainer, trainer.config
        self.metrics = MetricsLog(trainer.run_dir, trainer.step, config.tensorboard)
        self.view = View()
        self.saved, self.saved_at = trainer.step, time.monotonic()

    def __enter__(self) -> Recorder:
        self.view.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.view.__exit__(kind, *rest)
        try:
            if kind is None and self.saved != self.trainer.step:
                self.save()
        finally:
            self.metrics.close()

    def record(self, news: Progress) -> None:
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
