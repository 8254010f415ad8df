"""Bring a held run to its end: a copy of its last checkpoint is trained on while the learning rate falls to zero."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sorairo.files import whole_folder
from sorairo.training.loop import Objective, Outcome, TrainConfig, train
from sorairo.training.state import latest_state, save_state
from sorairo.types import UserError

__all__ = ["begin_decay", "decay"]

log = logging.getLogger(__name__)


def begin_decay(run_dir: Path, to: Path) -> int:
    """Copy what `to` needs from the held run, unless it has it; the original is only read. Returns the first step.

    Call it before the objective is built on `to`. Raises UserError when the run has no checkpoint yet.
    """
    if run_dir.resolve() == to.resolve():
        raise UserError("--to must name another folder than --run: the held run stays as it is.")
    mark = to / "decay.json"
    if mark.exists():
        return int(json.loads(mark.read_text())["from"])
    state = latest_state(run_dir / "checkpoints")
    if state is None:
        raise UserError(f"{run_dir} has no checkpoint yet: train it first.")
    save_state(to / "checkpoints", state)
    if (run_dir / "lists").exists():
        with whole_folder(to / "lists") as temporary:
            shutil.copytree(run_dir / "lists", temporary, dirs_exist_ok=True)
    mark.write_text(json.dumps({"from": state.step, "run": str(run_dir)}) + "\n")
    return state.step


def decay(
    objective: Objective,
    config: TrainConfig,
    to: Path,
    *,
    first: int,
    steps: int,
    shape: Literal["linear", "1-sqrt"] = "1-sqrt",
) -> Outcome:
    """Train from `first` (of begin_decay) for `steps` while the rate falls to zero, then export to `to`/export."""
    if steps < 1:
        raise UserError("--decay needs at least one step.")
    schedule = replace(config.schedule, decay_from=first, decay_steps=steps, shape=shape)
    log.info("decaying from step %d to %d in %s", first, first + steps, to)
    return train(objective, replace(config, steps=first + steps, schedule=schedule), to)
