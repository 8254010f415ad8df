"""Two transformers that take turns: one for high noise, one for low (Wan 2.2 A14B)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from sorairo.transformer.model import Transformer, TransformerConfig

__all__ = ["Experts"]


class Experts:
    """In the place of a Transformer, with the same call.

    high, low: give the transformers, called when the first step comes that needs them. boundary: the sigma from which
    on, upwards, the one for high noise works; of frames with times of their own the noisiest decides. keep: hold
    both once they are there; without it the one that is not at work is let go, and read again in the next clip.
    streamed: whether their blocks stay in their files.
    Source: Wan 2.2 (github.com/Wan-Video/Wan2.2), "mixture of experts".
    """

    def __init__(
        self,
        high: Callable[[], Transformer],
        low: Callable[[], Transformer],
        config: TransformerConfig,
        boundary: float,
        keep: bool = True,
        streamed: bool = False,
    ):
        self.config = config
        self.boundary = boundary
        self.keep = keep
        self.streamed = streamed
        self.loaders = {"high": high, "low": low}
        self.held: dict[str, Transformer] = {}

    def __call__(
        self, latents: torch.Tensor, timestep: torch.Tensor, *words: Any, **given: Any
    ) -> torch.Tensor:
        """Velocity, as Transformer.forward gives it."""
        which = "high" if self.is_high(timestep.max().item()) else "low"
        return self.at(which)(latents, timestep, *words, **given)

    def is_high(self, timestep: float) -> bool:
        """Whether the one for high noise works at a timestep."""
        return timestep >= 1000 * self.boundary

    def at(self, which: str) -> Transformer:
        """The transformer for "high" or for "low" noise."""
        if which not in self.held:
            if not self.keep:
                self.held.clear()
            self.held[which] = self.loaders[which]()
        return self.held[which]
