"""Edit a clip or a region of it: start from the noised clip, under other words."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, size_for
from sorairo.types import Known, Plan, UserError, Video

__all__ = ["edit"]


def edit(
    clip: Video,
    prompt: str,
    model: Abilities,
    ask: Ask | None = None,
    *,
    strength: float = 0.6,
    region: tuple[int, int, int, int] | None = None,
) -> Plan:
    """A clip as long as the input that shows what the words say.

    strength: over 0 and at most 1; 1 keeps nothing of the input. region: (x, y, width, height) in pixels of the
    output; everything outside is kept exactly. Source: Meng et al. 2022 (SDEdit). Raises UserError.
    """
    ask = ask or Ask()
    if not 0 < strength <= 1:
        raise UserError(f"The strength must be over 0 and at most 1, not {strength:g}.")
    if ask.timed:
        raise UserError("An edit is as long as its clip; leave the length out, or extend the clip.")
    given = fitted(clip, model, size_for(clip, model, ask), ask.fit)
    return ask.plan(model, prompt, len(given), (Known(video=given, hold=1 - strength, region=region),))
