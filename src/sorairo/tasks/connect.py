"""Connect two clips, or pictures: both are kept, and what lies between leads from the one to the other."""

from __future__ import annotations

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, size_for
from sorairo.types import Known, Plan, Video

__all__ = ["connect"]


def connect(first: Video, last: Video, prompt: str, model: Abilities, ask: Ask | None = None) -> Plan:
    """A clip that begins with `first` and ends with `last`. ask's length is that of what lies between, in whole
    steps of the model; the clips may have any. Raises UserError."""
    ask = (ask or Ask()).gentle(model)
    size = size_for(first, model, ask)
    first, last = (fitted(one, model, size, ask.fit) for one in (first, last))
    between = ask.more(model)
    if model.needs:  # it makes the whole clip at once, so that is what has to be whole steps
        between -= len(last)
    at = len(first) + between
    return ask.plan(model, prompt, at + len(last), (Known(video=first), Known(video=last, at=at)))
