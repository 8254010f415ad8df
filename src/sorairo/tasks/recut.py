"""Re-cut a clip: keep one span of it, and replace both sides."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, need_clip, size_for
from sorairo.types import Known, Plan, UserError, Video

__all__ = ["recut"]


def recut(
    clip: Video, keep: tuple[float, float], prompt: str, model: Abilities, ask: Ask | None = None
) -> Plan:
    """A clip of ask's length (default: the clip's) in which a span is kept exactly.

    keep: (from, to) in seconds of the clip. The span stays at its time, or ends the output if that is
    too short. Raises UserError.
    """
    ask = (ask or Ask()).gentle(model)
    need_clip(clip, "recut", "animate it instead")
    given = fitted(clip, model, size_for(clip, model, ask), ask.fit)
    start, stop = (round(second * model.fps) for second in keep)
    if not 0 <= start < stop <= len(given):
        raise UserError(
            f"{keep[0]:g}-{keep[1]:g} s is no span of this clip of {len(given) / model.fps:g} s; keep one inside it."
        )
    frames = ask.length(model, len(given))
    if frames <= stop - start:
        raise UserError("The kept span fills the whole clip; keep less, or ask for more seconds.")
    kept = given.part(start, stop)
    return ask.plan(model, prompt, frames, (Known(video=kept, at=min(start, frames - len(kept))),))
