"""The learning rate's shape: warm up, hold, decay. A held run may be decayed from any checkpoint and shipped."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["Schedule"]


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """warmup: steps from 0 to 1. decay_from: the first step of the decay (None: hold for ever), decay_steps long."""

    warmup: int = 200
    decay_from: int | None = None
    decay_steps: int = 0
    shape: Literal["linear", "1-sqrt"] = "1-sqrt"  # Hägele et al. 2024, section 4: 1-sqrt ends slightly lower

    def __call__(self, step: int) -> float:
        """The factor on every learning rate at this step, in [0, 1]."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        if self.decay_from is None or step < self.decay_from:
            return warm
        done = min(1.0, (step - self.decay_from + 1) / max(1, self.decay_steps))
        return warm * (1 - done if self.shape == "linear" else 1 - math.sqrt(done))
