"""Extend a clip, forward or backward: the input is kept, and new frames continue it."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, need_clip, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["extend"]


def extend(
    clip: Video, prompt: str, model: Abilities, ask: Ask | None = None, *, before: bool = False
) -> Plan:
    """A clip that goes on (or, with `before`, begins earlier).

    ask's length is that of the new frames, in whole steps of the model. The clip may have any length. Raises
    UserError."""
    ask = ask or Ask()
    need_clip(clip, "extend", "animate it instead")
    given = fitted(clip, model, size_for(clip, model, ask), ask.fit)
    more = ask.more(model)
    return ask.plan(model, prompt, len(given) + more, (Known(video=given, at=more if before else 0),))
