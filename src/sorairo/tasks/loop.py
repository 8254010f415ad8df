"""Loops: after the last frame comes the first, without a fade."""

from __future__ import annotations

import numpy as np

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.given import fitted, need_clip, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["loop"]

HOLD = 0.4
"""How firmly the way back keeps to the clip's own frames: enough to return at all, little enough to move by itself."""


def loop(
    clip: Video | None, prompt: str, model: Abilities, ask: Ask | None = None, *, free: bool = False
) -> Plan:
    """A loop out of words, or of a clip, which is kept, and a way back from its end to its beginning.

    ask's length is that of the loop, or of the way back. Half of a loop out of words is made first, and the rest
    leads from its end to its beginning with both in sight. The way back of a clip begins as the clip in reverse, of
    which the model makes what it can believe; free: it is made out of nothing. Raises UserError.
    """
    ask = ask or Ask()
    if clip is None:
        return ask.plan(model, prompt, ask.length(model, model.default_frames), loop=True)
    need_clip(clip, "loop", "animate it first")
    given = fitted(clip, model, size_for(clip, model, ask), ask.fit)
    more = ask.more(model)
    known = (Known(video=given),)
    if not free:
        known += (Known(video=reverse(given, more), at=len(given), hold=HOLD),)
    return ask.plan(model, prompt, len(given) + more, known, loop=True)


def reverse(clip: Video, frames: int) -> Video:
    """`frames` of a clip's own that lead from behind its last back to before its first.

    As much changes from each to the next wherever in the clip it lies, but ever less towards both ends, where what
    moves has to turn round.
    """
    change = np.abs(np.diff(clip.frames.astype(np.float32), axis=0)).mean(axis=(1, 2, 3))
    path = np.concatenate([[0.0], np.cumsum(change)])
    u = np.arange(1, frames + 1) / (frames + 1)
    left = path[-1] * (1 - u * u * (3 - 2 * u))  # of the path, at each frame
    nearest = np.abs(path - left[:, None]).argmin(axis=1)
    return Video(frames=clip.frames[nearest], fps=clip.fps)
