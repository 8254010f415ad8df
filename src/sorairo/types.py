"""The nouns that cross borders: Video, Known, Span, Plan, Sample. All frozen; see docs/shapes.md."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

__all__ = ["Known", "Plan", "Sample", "Span", "UserError", "Video"]


class UserError(ValueError):
    """A mistake of the user's: one sentence that says what to do. The CLI prints it and exits with 2."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Video:
    """Frames as a screen shows them.

    frames: uint8 RGB (t h w 3). fps: frames per second.
    """

    frames: np.ndarray
    fps: float

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self.frames.shape[2], self.frames.shape[1]

    def __len__(self) -> int:
        return self.frames.shape[0]


@dataclass(frozen=True, kw_only=True, eq=False)
class Known:
    """A clip or a still whose place on the output's timeline is given.

    at: the output frame where it starts. hold: how firmly it is kept; 1.0 exactly, 0 <= hold < 1 starts from
    it noised to sigma = 1 - hold (an edit). region: (x, y, width, height) in pixels; hold is of what is
    inside, and all outside is kept exactly.
    """

    video: Video
    at: int = 0
    hold: float = 1.0
    region: tuple[int, int, int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class Span:
    """Words that hold from frame `start` up to, not including, frame `stop` (None: the end)."""

    text: str
    start: int = 0
    stop: int | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All that decides a video, whatever the task it came from.

    size: (width, height). spans: in order, the first from frame 0, each up to the next. loop: the frame after
    the last is the first again. back: how firmly (0: not at all) the second half of a loop, of which nothing is known,
    keeps to the first in reverse. A seed means the same video at any batch size. steps, guidance: None takes the
    checkpoint's own defaults.
    """

    size: tuple[int, int]
    frames: int
    fps: float
    spans: tuple[Span, ...]
    seed: int
    known: tuple[Known, ...] = ()
    loop: bool = False
    back: float = 0.0
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sample:
    """One made video with how it came to be.

    timings: seconds per stage (text, denoise, decode, ...). notes: sentences on what was done otherwise than
    the model was trained for.
    """

    video: Video
    plan: Plan
    model: str
    timings: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
