"""Loops: the first frame follows the last, without a fade."""

from __future__ import annotations

from dataclasses import replace

from sorairo.flow.backward import backward
from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, need_clip, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["loop"]

HOLD = 0.4
"""How firmly the way back is held to the reversed frames: enough to return, little enough to move by itself."""


def loop(
    clip: Video | None, prompt: str, model: Abilities, ask: Ask | None = None, *, free: bool = False
) -> Plan:
    """A loop from words, or a clip that is kept and a way back from its end to its beginning.

    ask's length is that of the loop, or of the way back. In a loop from words the first half is made freely, and the
    second half is its way back. The way back starts from the frames in reverse, which the model changes to fit the
    words. free: it starts from noise, with both ends known. Raises UserError.
    """
    ask = ask or Ask()
    if clip is None:
        plan = ask.plan(model, prompt, ask.length(model, model.default_frames), loop=True)
        return plan if free else replace(plan, back=HOLD)
    need_clip(clip, "loop", "animate it first")
    given = fitted(clip, model, size_for(clip, model, ask), ask.fit)
    more = ask.more(model)
    known = (Known(video=given),)
    if not free:
        back = Video(frames=backward(given.frames, more), fps=given.fps)
        known += (Known(video=back, at=len(given), hold=HOLD),)
    return ask.plan(model, prompt, len(given) + more, known, loop=True)
