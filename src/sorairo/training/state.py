"""Checkpoints of a run: one named dict of tensors and one of plain values, whole or absent, the last two kept."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from sorairo.files import whole_folder
from sorairo.types import UserError

__all__ = ["RunState", "latest_state", "newest_step", "save_state"]

log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class RunState:
    """All that must survive. step: updates done. seconds: time trained. tensors: masters, moments, averages."""

    step: int
    seconds: float
    tensors: dict[str, Tensor]
    extra: dict[str, Any]


def save_state(folder: Path, state: RunState, keep: int = 2) -> Path:
    """Write `folder`/step-NNNNNNNN. Raises UserError when the disk is full; earlier checkpoints are then intact."""
    path = folder / f"step-{state.step:08d}"
    with whole_folder(path) as temporary:
        save_file(
            {name: t.contiguous() for name, t in state.tensors.items()}, temporary / "state.safetensors"
        )
        values = {"step": state.step, "seconds": state.seconds, "extra": state.extra}
        (temporary / "state.json").write_text(json.dumps(values, indent=2))
    for old in _checkpoints(folder)[:-keep]:
        shutil.rmtree(old, ignore_errors=True)
    return path


def latest_state(folder: Path) -> RunState | None:
    """The newest checkpoint that can be read; None when the run has none.

    A damaged one (a disk's fault; ours are renamed when whole) is passed over with a warning. Raises UserError when
    there are some and none can be read.
    """
    found = _checkpoints(folder)
    for path in reversed(found):
        try:
            values = json.loads((path / "state.json").read_text())
            tensors = load_file(path / "state.safetensors")
            return RunState(
                step=values["step"], seconds=values["seconds"], tensors=tensors, extra=values["extra"]
            )
        except (OSError, SafetensorError, KeyError, json.JSONDecodeError) as error:
            log.warning("%s cannot be read (%s); trying the one before it", path, error)
    if found:
        raise UserError(
            f"No checkpoint in {folder} can be read: choose another --run folder to start afresh."
        )
    return None


def newest_step(folder: Path) -> int:
    """The step of the newest checkpoint, 0 without any."""
    found = _checkpoints(folder)
    return int(found[-1].name.removeprefix("step-")) if found else 0


def _checkpoints(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("step-*") if path.is_dir())
