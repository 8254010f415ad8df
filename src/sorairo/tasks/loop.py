"""Loops: after the last frame comes the first, without a fade."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.given import fitted, need_clip, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["loop"]


def loop(clip: Video | None, prompt: str, model: Abilities, ask: Ask | None = None) -> Plan:
    """A loop out of words, or of a clip, which is kept, and a way back from its end to its beginning.

    ask's length is that of the loop, or of the way back. Half of a loop out of words is made first, and the rest
    leads from its end to its beginning with both in sight. Raises UserError.
    """
    ask = ask or Ask()
    if clip is None:
        return ask.plan(model, prompt, ask.length(model, model.default_frames), loop=True)
    need_clip(clip, "loop", "animate it first")
    given = fitted(clip, model, size_for(clip, model, ask), ask.fit)
    return ask.plan(model, prompt, len(given) + ask.more(model), (Known(video=given),), loop=True)
