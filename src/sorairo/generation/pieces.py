"""What ways of making a clip chunk by chunk share: its pieces, all of them at once, and the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator

import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.flow.cache import CacheConfig
from sorairo.generation.timeline import Timeline
from sorairo.text.encoder import TextStates
from sorairo.types import Plan, Video

__all__ = ["AtStep", "InPieces"]

AtStep = Callable[[int, torch.Tensor], None]
"""Told (steps done, the predicted data 1 c t h w of a chunk) after every step."""


class InPieces(ABC):
    """A plan whose frames join its timeline chunk by chunk. steps: in all chunks."""

    plan: Plan
    timeline: Timeline
    steps: int

    @abstractmethod
    def __init__(
        self, plan: Plan, model: Checkpoint, texts: dict[str, TextStates], cache: CacheConfig | None = None
    ) -> None: ...

    @abstractmethod
    def pieces(self, at_step: AtStep = lambda step, data: None) -> Iterator[Video]:
        """The frames of each chunk, as soon as they are made; known ones before them come first."""

    def run(self, at_step: AtStep) -> None:
        """Make all frames."""
        for _ in self.pieces(at_step):
            pass

    def video(self) -> Video:
        """The whole video, once it was made."""
        return Video(frames=self.timeline.frames, fps=self.plan.fps)
