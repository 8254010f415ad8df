"""The loop: batches in, updates, logs, samples and checkpoints out. The same command again continues, bit for bit."""

from __future__ import annotations

import logging
import math
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from sorairo.files import only_process, whole_folder
from sorairo.nn.together import others_present
from sorairo.training.metrics import MetricsLog
from sorairo.training.objective import Objective
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import Optimizer
from sorairo.training.parallel.placement import Placement
from sorairo.training.parallel.plain import Plain
from sorairo.training.parallel.sharding import Piece
from sorairo.training.prefetch import Prefetch
from sorairo.training.progress import Progress, View
from sorairo.training.rng import torch_rng
from sorairo.training.run_folder import StopFlag, check_settings
from sorairo.training.settings import EARLIER, MAY_CHANGE, SAME, TrainConfig
from sorairo.training.state import RunState, check_room, latest_state, save_shares, save_state
from sorairo.types import UserError

__all__ = ["Objective", "Outcome", "TrainConfig", "Trainer", "train"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class News:
    """One step: what there is to show of it, and for all of the team whether a signal came, the time is over, or a
    checkpoint is due."""

    progress: Progress
    stopped: bool
    ended: bool
    due: bool


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
    other = f"Another process trains in {run_dir}: stop it or choose another folder."
    with only_process(run_dir, other) if leads else nullcontext():
        if leads:
            now = {"train": asdict(config), "objective": objective.settings()}
            check_settings(run_dir / "settings.json", now, MAY_CHANGE, accept_changes, EARLIER, SAME)
        trainer = Trainer(objective, config, run_dir, placement)
        outcome = trainer.run(hours)
        if outcome.reason == "done":
            trainer.export(run_dir / "export")
        return outcome


def placed(config: TrainConfig) -> Placement:
    """Where a run with these settings is trained. Raises UserError when there is no such device."""
    return Placement.choose(
        config.device,
        config.dtype,
        compile=config.compile,
        checkpointing=config.checkpointing,
        shard=config.shard,
        context=config.context,
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
        self.plain = Plain(objective, self.placement)
        self.placement.place(objective.models)
        named = self.placement.parameters(objective.models)
        self.optimizer = Optimizer(named, config.optim, self.placement.dtype, self.team)
        self.placement.cast(objective.models)
        self.ema = Ema(self.optimizer.weights, config.ema_decay)
        self.step, self.seconds, self.bad = 0, 0.0, 0
        state = latest_state(run_dir / "checkpoints", self._pieces())
        if state:
            self.restore(state)
            log.info("continuing %s from step %d", run_dir, self.step)

    def run(self, hours: float | None = None) -> Outcome:
        """Step until the end; a checkpoint at the end, every few minutes and at a signal (to any process)."""
        stop, limit = StopFlag(), math.inf if hours is None else hours * 3600
        if self.team.leads:
            state = (self.optimizer.state() | self.ema.state() | self._buffers()).values()
            size = sum(tensor.nbytes for tensor in state)
            check_room(self.run_dir / "checkpoints", size * self.optimizer.shards.of)
        batches = Prefetch(self.batch, self.step)
        stopped, ended = False, self.seconds >= limit
        try:
            with stop.watching(), Recorder(self) if self.team.leads else nullcontext() as recorder:
                saved = self.step
                while not (stopped or ended or self.step == self.config.steps):
                    due = recorder is not None and recorder.due
                    news = self.one(batches.get(), limit, bool(stop), due)
                    stopped, ended = news.stopped, news.ended
                    if recorder:
                        recorder.record(news.progress)
                    if self.config.sample_every and self.step % self.config.sample_every == 0:
                        self.sample(recorder)
                    if news.due:
                        self.save(recorder)
                        saved = self.step
                if saved != self.step:
                    self.save(recorder)
        finally:
            batches.close()
        if stopped:
            log.info("stopped and saved at step %d; the same command continues", self.step)
            return Outcome(step=self.step, reason="stopped", signal=stop.signal or signal.SIGTERM)
        return Outcome(step=self.step, reason="done")

    def batch(self, step: int) -> object:
        """This process's share of the batch of a step, on its device."""
        return self.placement.put(self.objective.batch(step, self.team.share))

    def one(self, batch: object, limit: float = math.inf, stop: bool = False, due: bool = False) -> News:
        """One update of the whole team. limit: the seconds of training after which the run ends. stop: whether this
        process was told to stop. due: whether it wants a checkpoint."""
        with others_present() if self.team.size > 1 else nullcontext():
            return self._one(batch, limit, stop, due)

    def _one(self, batch: object, limit: float, stop: bool, due: bool) -> News:
        began, step, config = time.perf_counter(), self.step, self.config
        torch.manual_seed(torch_rng(config.seed, step).initial_seed())
        loss, parts = self.objective.loss(batch, step, self.team.share)
        loss.backward()
        flags = (float(stop), float(self.seconds >= limit), float(due))
        value, stopped, ended, wanted = self.placement.average(
            self.optimizer.working.values(), float(loss.detach()), *flags
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
        return News(progress=progress, stopped=stopped > 0, ended=ended > 0, due=wanted > 0)

    def sample(self, recorder: Recorder | None) -> None:
        """Samples and scores of the averaged weights, by the leading process."""
        folder = self.run_dir / "samples" / f"step-{self.step:08d}"
        with self.averaged() as objective:
            if objective is None or recorder is None:
                return
            with whole_folder(folder) as temporary, torch.no_grad():
                scores = objective.sample(temporary, self.step)
        if scores:
            log.info(
                "step %d: %s", self.step, "  ".join(f"{name} {value:.4g}" for name, value in scores.items())
            )
            values = {f"score/{name}": value for name, value in scores.items()}
            recorder.metrics.write(self.step - 1, values)

    def export(self, folder: Path) -> None:
        """The averaged weights as users load them."""
        with self.averaged() as objective:
            if objective is None:
                return
            with whole_folder(folder) as temporary, torch.no_grad():
                objective.export(temporary)
        log.info("exported %s", folder)

    @contextmanager
    def averaged(self) -> Iterator[Objective | None]:
        """The objective over the averaged weights, in the leading process; None in the others."""
        if self.plain.needed:
            try:
                yield self.plain.filled(self.optimizer.shards, self.ema.average)
            finally:
                self.plain.empty()
        elif self.team.leads:
            with self.ema.inside(self.optimizer.working):
                yield self.objective
        else:
            yield None

    def save(self, recorder: Recorder | None = None) -> None:
        """A checkpoint of this moment, after every line of the log that leads to it."""
        if recorder:
            recorder.flush()
        state = RunState(
            step=self.step,
            seconds=self.seconds,
            tensors=self.optimizer.state() | self.ema.state() | self._buffers(),
            extra={"bad": self.bad},
            pieces=self._pieces(),
        )
        if self.optimizer.shards.shapes:
            save_shares(self.run_dir / "checkpoints", state, self.optimizer.shards, self.team)
        elif self.team.leads:
            save_state(self.run_dir / "checkpoints", state)

    def _pieces(self) -> dict[str, Piece]:
        """Which rows of the tensors in a checkpoint are here."""
        shards = self.optimizer.shards
        return {
            f"{group}/{name}": shards.piece(name)
            for name in shards.shapes
            for group in ("weights", "first", "second", "ema")
        }

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
    """What the leading process writes while the run goes on: the log and the live view. due: whether it is time for a
    checkpoint."""

    def __init__(self, trainer: Trainer):
        self.minutes = trainer.config.checkpoint_minutes
        self.metrics = MetricsLog(trainer.run_dir, trainer.step, trainer.config.tensorboard)
        self.view = View()
        self.saved_at = time.monotonic()

    def __enter__(self) -> Recorder:
        self.view.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.view.__exit__(kind, *rest)
        self.metrics.close()

    @property
    def due(self) -> bool:
        return time.monotonic() - self.saved_at > self.minutes * 60

    def record(self, news: Progress) -> None:
        """One step is done."""
        self.metrics.write(news.step, {"loss": news.loss, **news.parts, "norm": news.norm, "lr": news.lr})
        self.view(news)

    def flush(self) -> None:
        """Every line of the log is handed to the system: a checkpoint is about to be written."""
        self.metrics.flush()
        self.saved_at = time.monotonic()
