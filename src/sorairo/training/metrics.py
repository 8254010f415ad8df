"""What a run writes as it goes: metrics.jsonl (one line a step) and, with the extra `train`, TensorBoard files."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from sorairo.files import disk_errors, write_text

__all__ = ["MetricsLog", "read_metrics"]

log = logging.getLogger(__name__)


class MetricsLog:
    """Appends to metrics.jsonl. Lines at or after `step` are of a run that was cut short, and are dropped first."""

    def __init__(self, run_dir: Path, step: int, tensorboard: bool = True):
        self.path = run_dir / "metrics.jsonl"
        if self.path.exists():
            kept = [line for line in read_metrics(self.path) if line["step"] < step]
            write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        self.file = self.path.open("a")
        self.board = _tensorboard(run_dir, step) if tensorboard else None

    def write(self, step: int, values: dict[str, Any]) -> None:
        """One line; numbers are written so that they read back exactly."""
        with disk_errors(self.path):
            self.file.write(json.dumps({"step": step, **values}) + "\n")
            if self.board:
                for name, value in values.items():
                    self.board.add_scalar(name, value, step)

    def flush(self) -> None:
        """Hand the lines to the system."""
        with disk_errors(self.path):
            self.file.flush()

    def close(self) -> None:
        """Flush and close both."""
        with disk_errors(self.path):
            self.file.close()
            if self.board:
                self.board.close()


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """The lines of a metrics.jsonl; a last line cut short by a kill is left out."""
    lines = []
    for line in path.read_text().splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _tensorboard(run_dir: Path, step: int):
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.info('no TensorBoard logs: pip install "sorairo[train]" for them')
        return None
    return SummaryWriter(str(run_dir / "tensorboard"), purge_step=step)
