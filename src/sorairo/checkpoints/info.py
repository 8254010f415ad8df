"""What only we know of a checkpoint: sorairo.json."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from sorairo.text.prompt import clean, unknown_words
from sorairo.types import Plan, UserError

__all__ = ["ModelInfo"]


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a checkpoint was trained for, and how it is best used.

    sizes: (width, height) in pixels that it was trained on, its own default first. max_frames: the longest clip,
    1 + 4k. default_frames: what is made when nothing is said. conditioning: what it can be given besides words
    ("frames": any known frames; "first", "last": the frame at that end). needs: what of it must be given.
    vocabulary: the lower-case words of its captions; empty if not known.
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
    guidance_interval: tuple[float, float] = (0.0, 1.0)
    recipe: str = ""
    steps_trained: int = 0
    data_seed: int = 0
    scorecard: dict[str, Any] = field(default_factory=dict)
    licence: str = "Apache-2.0"

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that training never showed, in order."""
        return unknown_words(prompt, self.vocabulary)

    def check(self, plan: Plan) -> None:
        """Raise UserError, with the nearest that can be made, for a plan that this model cannot make."""
        if len(plan.spans) != 1:
            raise UserError("This model takes one text for the whole clip; give one.")
        if not clean(plan.spans[0].text):
            raise UserError("The prompt is empty; say what should be seen.")
        if plan.size not in self.sizes:
            width, height = min(self.sizes, key=lambda size: _distance(size, plan.size))
            asked = f"{plan.size[0]}x{plan.size[1]}"
            raise UserError(
                f"{self.name} was not trained for {asked}; the nearest that it can make is {width}x{height}."
            )
        if not 1 <= plan.frames <= self.max_frames or plan.frames % 4 != 1:
            near = min(max(1, 1 + 4 * round((plan.frames - 1) / 4)), self.max_frames)
            raise UserError(
                f"{plan.frames} frames cannot be made; give 1, 5, 9, ... up to {self.max_frames}; {near} is nearest."
            )
        if plan.fps != self.fps:
            raise UserError(
                f"{self.name} makes {self.fps:g} frames a second, not {plan.fps:g}; ask for that."
            )
        if not 0 <= plan.seed < 2**63:
            raise UserError(f"The seed must be a whole number from 0 to 2^63 - 1, not {plan.seed}.")
        if plan.steps is not None and not 1 <= plan.steps <= 1000:
            raise UserError(f"Steps must be from 1 to 1000, not {plan.steps}.")
        if plan.guidance is not None and not 0 <= plan.guidance <= 50:
            raise UserError(f"Guidance must be from 0 to 50 (1 is off), not {plan.guidance:g}.")
        if plan.loop:
            raise UserError(f"{self.name} cannot make loops; ask for a clip that does not loop.")
        self._check_given(plan)
        for known in plan.known:
            if known.video.size != plan.size:
                raise UserError(
                    "Known frames must have the size of the clip that is asked for; resize them first."
                )
            if not 0 < known.hold <= 1:
                raise UserError(f"Known frames hold by more than 0 and at most 1, not {known.hold:g}.")

    def _check_given(self, plan: Plan) -> None:
        """Whether the known frames of a plan are where this model takes some, and those that it needs are there."""
        ends = {"first": 0, "last": plan.frames - 1}
        lacks = [
            end for end in self.needs if not any(k.at <= ends[end] < k.at + len(k.video) for k in plan.known)
        ]
        if lacks:
            raise UserError(
                f"{self.name} starts from pictures; give it the {' and the '.join(lacks)} frame of the clip."
            )
        if not plan.known or "frames" in self.conditioning:
            return
        if not self.conditioning:
            raise UserError(f"{self.name} was trained on words alone; it cannot be given frames.")
        places = {ends[end] for end in self.conditioning}
        if any(known.at not in places or len(known.video) != 1 for known in plan.known):
            raise UserError(
                f"{self.name} can be given one frame at a time, the {' and the '.join(self.conditioning)} of the clip."
            )


def _distance(one: tuple[int, int], other: tuple[int, int]) -> int:
    return abs(one[0] - other[0]) + abs(one[1] - other[1])
