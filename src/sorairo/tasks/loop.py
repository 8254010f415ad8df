"""Loops: after the last frame comes the first, without a fade."""

from __future__ import annotations

from dataclasses import replace

from sorairo.flow.backward import backward
from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, need_clip, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["loop"]

HOLD = 0.4
"""How firmly the way back keeps to the frames in reverse: enough to return at all, little enough to move by itself."""


def loop(
    clip: Video | None, prompt: str, model: Abilities, ask: Ask | None = None, *, free: bool = False
) -> Plan:
    """A loop out of words, or of a clip, which is kept, and a way back from its end to its beginning.

    ask's length is that of the loop, or of the way back. Of a loop out of words the first half is made out of
    nothing, and the second is its way back. The way back begins as what it leads back over, in reverse, of which the
    model makes what it can believe; free: it is made out of nothing, with both ends in sight. Raises UserError.
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
