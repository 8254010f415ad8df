"""Words to video: the plan of a clip from a prompt alone."""

from __future__ import annotations

from typing import Protocol

from sorairo.types import Plan, Span, UserError

__all__ = ["Abilities", "frames_for", "text_to_video"]


class Abilities(Protocol):
    """What a task needs to know of a model; checkpoints' ModelInfo is one."""

    @property
    def sizes(self) -> tuple[tuple[int, int], ...]: ...
    @property
    def max_frames(self) -> int: ...
    @property
    def default_frames(self) -> int: ...
    @property
    def fps(self) -> float: ...


def text_to_video(
    prompt: str,
    model: Abilities,
    *,
    size: tuple[int, int] | None = None,
    seconds: float | None = None,
    frames: int | None = None,
    seed: int = 0,
    steps: int | None = None,
    guidance: float | None = None,
    negative: str = "",
) -> Plan:
    """A Plan from words. size: (width, height), the model's first if None. seconds or frames, not both; the
    model's default if neither. Raises UserError; what the model cannot make is refused when it is asked to."""
    if seconds is not None and frames is not None:
        raise UserError("Give seconds or frames, not both.")
    if seconds is not None:
        frames = frames_for(seconds, model)
    return Plan(
        size=size or model.sizes[0],
        frames=model.default_frames if frames is None else frames,
        fps=model.fps,
        spans=(Span(text=prompt),),
        seed=seed,
        steps=steps,
        guidance=guidance,
        negative=negative,
    )


def frames_for(seconds: float, model: Abilities) -> int:
    """The count of frames, 1 + 4k, whose length is nearest to `seconds`. Raises UserError beyond the model's."""
    longest = model.max_frames / model.fps
    if not 0 < seconds < longest + 2 / model.fps:
        raise UserError(f"{seconds:g} seconds cannot be made; give more than 0 and at most {longest:.3g}.")
    return min(1 + 4 * max(0, round((seconds * model.fps - 1) / 4)), model.max_frames)
