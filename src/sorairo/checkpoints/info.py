"""What only we know of a checkpoint: sorairo.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sorairo.text.prompt import unknown_words
from sorairo.types import UserError

__all__ = ["ModelInfo"]


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a checkpoint was trained for, and how it is best used.

    sizes: (width, height) in pixels of training, the default first. max_frames: of one window, 1 + step k.
    default_frames: without a requested length. conditioning: the inputs it takes besides words ("frames": any known
    frames; "first", "last": the frame at that end; "control": any known frames and regions, reference pictures and a
    clip to follow, through a branch of its own; "levels": any known frames at noise levels of their own, beside which
    guidance stays on; "begin": any number of frames at the beginning). needs: those of them that are required.
    vocabulary: the lower-case words of its captions; empty if not known.
    low_noise_guidance: the second of two transformers' own scale; None: default_guidance serves both.
    chunk: how many latent frames see each other and those before, in a model that looks back only; 0: all see all.
    reach: how many latent frames it looks back at, 0: all; sink: of these, how many are always the clip's first.
    times: the timesteps of a model of few steps, which is asked for the data at each; none: its path is solved.
    zero_star: whether guidance starts from the part that both predictions share (flow.guidance.cfg_zero).
    guidance_interval: the sigmas, low and high, between which guidance pays. scorecard: name -> number or text.
    """

    name: str
    sizes: tuple[tuple[int, int], ...]
    max_frames: int = 33
    default_frames: int = 17
    fps: float = 8.0
    conditioning: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    text_len: int = 96
    vocabulary: tuple[str, ...] = ()
    default_steps: int = 12
    default_guidance: float = 4.0
    low_noise_guidance: float | None = None
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    zero_star: bool = False
    times: tuple[float, ...] = ()
    chunk: int = 0
    reach: int = 0
    sink: int = 0
    recipe: str = ""
    steps_trained: int = 0
    data_seed: int = 0
    scorecard: dict[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    def __post_init__(self) -> None:
        low, high = self.guidance_interval
        sound = {
            "sizes": self.sizes and all(1 <= side <= 16384 for size in self.sizes for side in size),
            "max_frames": 1 <= self.max_frames <= 100_000,
            "default_frames": 1 <= self.default_frames <= 100_000,
            "fps": 0 < self.fps <= 1000,
            "text_len": 1 <= self.text_len <= 1 << 14,
            "default_steps": 1 <= self.default_steps <= 10_000,
            "default_guidance": 0 <= self.default_guidance <= 1000,
            "low_noise_guidance": 0 <= (self.low_noise_guidance or 0) <= 1000,
            "guidance_interval": 0 <= low <= high <= 1,
            "chunk": 0 <= self.chunk <= 1000,
            "reach": 0 <= self.reach <= 100_000,
            "sink": 0 <= self.sink <= max(0, self.reach - 1),
            "times": all(0 < time <= 1000 for time in self.times),
        }
        for name, right in sound.items():
            if not right:
                raise UserError(f"{name} is {getattr(self, name)!r:.60}, which is out of bounds")

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that training never showed, in order."""
        return unknown_words(prompt, self.vocabulary)
