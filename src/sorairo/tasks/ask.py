"""The settings that every verb takes besides its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

from sorairo.tasks.abilities import Abilities
from sorairo.types import Known, Plan, Span, UserError, Video

__all__ = ["GENTLE", "Ask", "frames_for"]

GENTLE = 1.0  # guidance beside known frames: off


@dataclass(frozen=True, kw_only=True)
class Ask:
    """Size, length and settings; None takes the model's own, or those that fit the input clip.

    size: (width, height). seconds or frames, not both; each verb documents which length this sets. fit: how inputs of
    another shape are fitted: crop, letterbox or stretch (video/resize.py). references, control, control_scale: see
    Plan.
    """

    size: tuple[int, int] | None = None
    seconds: float | None = None
    frames: int | None = None
    seed: int = 0
    steps: int | None = None
    guidance: float | None = None
    negative: str = ""
    shift: float | None = None
    sampler: str | None = None
    fit: str = "crop"
    references: tuple[Video, ...] = ()
    control: Video | None = None
    control_scale: float = 1.0

    @property
    def timed(self) -> bool:
        """Whether a length is set."""
        return self.seconds is not None or self.frames is not None

    def length(self, model: Abilities, default: int) -> int:
        """The requested number of frames, or `default`. Raises UserError."""
        if self.seconds is not None and self.frames is not None:
            raise UserError("Give seconds or frames, not both.")
        if self.seconds is not None:
            return frames_for(self.seconds, model)
        return default if self.frames is None else self.frames

    def more(self, model: Abilities) -> int:
        """The number of frames to add to the input, rounded to whole steps of the model. Raises UserError."""
        frames = self.length(model, min(model.default_frames, model.longest - 1))
        if not 1 <= frames < model.longest:
            raise UserError(f"{frames} frames cannot be added; give 1 to {model.longest - 1}.")
        return model.step * max(1, round(frames / model.step))

    def gentle(self, model: Abilities) -> Ask:
        """The same settings, with guidance off if none is set: for new frames between known ones.

        Known frames say more than words, and guidance moves new frames away from them: the largest change of a
        connection is a tenth larger at 3 (docs/log.md). Models that were not trained with known frames keep theirs.
        """
        if self.guidance is not None or "frames" not in model.conditioning:
            return self
        return replace(self, guidance=GENTLE)

    def plan(
        self,
        model: Abilities,
        words: str | tuple[Span, ...],
        frames: int,
        known: tuple[Known, ...] = (),
        loop: bool = False,
    ) -> Plan:
        """The Plan of a verb. Its size is that of the known frames, if there are any."""
        return Plan(
            size=known[0].video.size if known else self.size or model.sizes[0],
            frames=frames,
            fps=model.fps,
            spans=(Span(text=words),) if isinstance(words, str) else words,
            seed=self.seed,
            known=known,
            loop=loop,
            steps=self.steps,
            guidance=self.guidance,
            negative=self.negative,
            shift=self.shift,
            sampler=self.sampler,
            references=self.references,
            control=self.control,
            control_scale=self.control_scale,
        )


def frames_for(seconds: float, model: Abilities) -> int:
    """The number of frames, 1 + step k, whose length is nearest to `seconds`. Raises UserError beyond the model's."""
    longest = model.longest / model.fps
    if not 0 < seconds < longest + model.step / 2 / model.fps:
        raise UserError(f"{seconds:g} seconds cannot be made; give more than 0 and at most {longest:.3g}.")
    return model.nearest(seconds * model.fps)
