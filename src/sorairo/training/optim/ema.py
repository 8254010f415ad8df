# pyright: reportPrivateImportUsage=false
"""A slow average of the master weights: what is sampled from and shipped."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["Ema"]


class Ema:
    """average <- decay * average + (1 - decay) * weights, with a decay that starts small and grows to `decay`."""

    def __init__(self, weights: dict[str, Tensor], decay: float):
        self.decay = decay
        self.average = {name: weight.clone() for name, weight in weights.items()}

    @torch.no_grad()
    def update(self, weights: dict[str, Tensor], step: int) -> None:
        """Move towards the weights. step: updates done before this one."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.average.values()), list(weights.values()), 1 - decay)

    def state(self) -> dict[str, Tensor]:
        """Everything that must survive, by reference."""
        return {f"ema/{name}": value for name, value in self.average.items()}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take back what state() gave."""
        for name, value in self.average.items():
            value.copy_(state[f"ema/{name}"])

    @contextmanager
    @torch.no_grad()
    def inside(self, working: dict[str, nn.Parameter]) -> Iterator[None]:
        """In the block the network's weights are the average; after it they are exactly what they were."""
        kept = {name: p.detach().clone() for name, p in working.items()}
        try:
            for name, p in working.items():
                p.copy_(self.average[name])
            yield
        finally:
            for name, p in working.items():
                p.copy_(kept[name])
