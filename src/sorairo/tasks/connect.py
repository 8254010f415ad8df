"""Connect two clips or pictures: both are kept, and new frames lead from one to the other."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["connect"]


def connect(first: Video, last: Video, prompt: str, model: Abilities, ask: Ask | None = None) -> Plan:
    """A clip that begins with `first` and ends with `last`.

    ask's length is that of the frames between, in whole steps of the model. The clips may have any length. Raises
    UserError."""
    ask = (ask or Ask()).gentle(model)
    size = size_for(first, model, ask)
    first, last = (fitted(one, model, size, ask.fit) for one in (first, last))
    between = ask.more(model)
    if model.needs:  # it makes the whole clip in one window, so its length is in whole steps
        between -= len(last)
    at = len(first) + between
    return ask.plan(model, prompt, at + len(last), (Known(video=first), Known(video=last, at=at)))
