"""Animate a picture: it is kept exactly as the first frame."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, size_for
from sorairo.types import Known, Plan, UserError, Video

__all__ = ["animate"]


def animate(picture: Video, prompt: str, model: Abilities, ask: Ask | None = None) -> Plan:
    """A clip that begins with `picture`. Its length is ask's, the picture included. Raises UserError."""
    ask = ask or Ask()
    if len(picture) > 1:
        raise UserError("animate takes a picture, and this is a clip; extend it instead.")
    frames = ask.length(model, model.default_frames)
    if frames < 2:
        raise UserError(f"One frame does not move; ask for {1 + model.step} or more.")
    known = Known(video=fitted(picture, model, size_for(picture, model, ask), ask.fit))
    return ask.plan(model, prompt, frames, (known,))
