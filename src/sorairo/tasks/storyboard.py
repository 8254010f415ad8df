"""Storyboards: cards on a timeline, each with words that hold from there on, a picture to come by, or both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, size_for
from sorairo.types import Known, Plan, Span, UserError, Video

__all__ = ["Card", "storyboard"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Card:
    """at: seconds from the beginning. words: None goes on with those of the card before. picture: the frame at
    that moment, kept exactly."""

    at: float
    words: str | None = None
    picture: Video | None = None


def storyboard(cards: Sequence[Card], model: Abilities, ask: Ask | None = None) -> Plan:
    """A clip of ask's length; if nothing is said the last card has the model's default length.

    Each card's words are a window of their own, which begins from the last frame before it. Raises
    UserError for cards outside the timeline or over one another.
    """
    ask = ask or Ask()
    if not cards or not all(0 <= card.at < math.inf for card in cards):
        raise UserError("A storyboard needs cards at 0 s and later; give one at 0.")
    if cards[0].at != 0 or cards[0].words is None:
        raise UserError("The first card must be at 0 and have words; say what the clip begins with.")
    starts = [round(card.at * model.fps) for card in cards]
    for card, one, other in zip(cards[1:], starts, starts[1:], strict=False):
        if other <= one:
            raise UserError(
                f"The card at {card.at:g} s lies over the one before it, or comes before it; give each"
                f" at least {1 / model.fps:g} s, in order of time."
            )
    frames = ask.length(model, model.nearest(starts[-1] + model.default_frames))
    if starts[-1] >= frames:
        raise UserError(
            f"The card at {cards[-1].at:g} s is outside the clip of {frames / model.fps:g} s; ask for more seconds."
        )
    spans = [
        Span(text=card.words, start=start)
        for card, start in zip(cards, starts, strict=True)
        if card.words is not None
    ]
    pictures = [(card.picture, start) for card, start in zip(cards, starts, strict=True) if card.picture]
    known: list[Known] = []
    for picture, start in pictures:
        if len(picture) > 1:
            raise UserError("A card takes a picture, not a clip; connect clips instead.")
        size = size_for(pictures[0][0], model, ask)
        known.append(Known(video=fitted(picture, model, size, ask.fit), at=start))
    return ask.plan(model, tuple(spans), frames, tuple(known))
