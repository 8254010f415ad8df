"""What captions of a world are made of, as data: its nouns, its sentences, and how it writes a caption.

Whoever has a world makes one (see prompts/studio.py); nothing here knows which.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

__all__ = ["FILLERS", "Event", "Facts", "Grammar", "Neutral", "Pattern", "Thing", "stem", "stems"]


@dataclass(frozen=True, kw_only=True)
class Thing:
    """An object as it was named; what was not said is empty."""

    shape: str
    colour: str = ""
    size: str = ""
    material: str = ""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a prompt says, as far as it was understood; what it does not say is empty (or 0, or None).

    actors: the objects of the event, in its order. others: (relation, object) of those that stand by. times: how
    often it bounces. first: the number of the actor that comes first. event and variant stay empty, and `left` holds
    the words, where the event was not understood.
    """

    event: str = ""
    variant: str = ""
    actors: tuple[Thing, ...] = ()
    others: tuple[tuple[str, Thing], ...] = ()
    direction: str = ""
    times: int = 0
    first: int | None = None
    floor: str = ""
    sky: str = ""
    camera: str = ""
    left: str = ""


@dataclass(frozen=True, kw_only=True)
class Event:
    """One way that a clip can go.

    outcome: variants of an event with another one are different stories. shapes: of the first actor. long: the
    template of the exact caption, phrases: all that mean the same, this one too; with {a} {b} for the actors, {the_a}
    {the_b} {first} {second} for those named before, {stack} for a tower, {dir} and {n}.
    """

    name: str
    variant: str
    outcome: str
    shapes: tuple[str, ...]
    long: str
    phrases: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Neutral:
    """What is taken where nothing was said. colours: in the order in which they are used up."""

    size: str
    material: str
    colours: tuple[str, ...]
    direction: str
    times: int
    floor: str
    sky: str
    camera: str


@dataclass(frozen=True, kw_only=True)
class Grammar:
    """A world's words. The tables go from what may be said to the name that facts have for it.

    cameras, skies: phrases, lower case, without a full stop. topics: words that speak of the floor, sky and camera.
    vocabulary: all words of the world, lower case. write: the long caption of facts that lack nothing. camera_words:
    the sentence for a camera; place_words: the one for a floor and a sky. examples: prompts, for who learns from them.
    """

    shapes: dict[str, str]
    colours: tuple[str, ...]
    sizes: tuple[str, ...]
    materials: tuple[str, ...]
    relations: dict[str, str]
    floors: tuple[str, ...]
    skies: dict[str, str]
    cameras: dict[str, str]
    events: tuple[Event, ...]
    neutral: Neutral
    topics: dict[str, frozenset[str]]
    vocabulary: frozenset[str]
    write: Callable[[Facts], str]
    camera_words: Callable[[str], str]
    place_words: Callable[[str, str], str]
    examples: tuple[str, ...] = field(default=())
    openings: tuple[str, ...] = ()

    @cached_property
    def floor_phrases(self) -> dict[str, str]:
        """As `cameras`, for the floors."""
        forms = ("a {} floor", "{} floor", "the floor is {}")
        return {form.format(name): name for name in self.floors for form in forms}

    @cached_property
    def patterns(self) -> tuple[Pattern, ...]:
        """Every phrase of every event, ready to be compared."""
        return tuple(Pattern.of(event, phrase) for event in self.events for phrase in event.phrases)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """A phrase as it is compared: the actors and the references in their order, and the stems of its words."""

    event: Event
    actors: tuple[str, ...]
    references: tuple[str, ...]
    stems: frozenset[str]
    counts: bool

    @classmethod
    def of(cls, event: Event, phrase: str) -> Pattern:
        """The pattern of one phrase of an event."""
        slots = re.findall(r"\{(\w+)\}", phrase.replace("{tower}", "{stack}"))
        return cls(
            event=event,
            actors=tuple(slot for slot in slots if slot in ("a", "b", "stack")),
            references=tuple(slot for slot in slots if slot in ("the_a", "the_b", "first", "second")),
            stems=stems(re.sub(r"\{\w+\}", " ", phrase)),
            counts="{n}" in phrase,
        )


FILLERS = frozenset("a an the is are be being it its that which and as".split())  # noqa: SIM905
ON_THE_FLOOR = re.compile(r"\b(?:on|onto|to|over|across|along)(?: the)? (?:floor|ground)\b")
DOWN = re.compile(r"\b(falls?|falling|drops?|dropping) down\b")


def stems(text: str) -> frozenset[str]:
    """The words that carry the meaning of a lower-case text, without their endings."""
    text = DOWN.sub(r"\1", ON_THE_FLOOR.sub("floor", text))
    return frozenset(stem(word) for word in re.findall(r"[^\W_]+(?:'[^\W_]+)?", text) if word not in FILLERS)


def stem(word: str) -> str:
    """'sliding', 'slides' and 'slide' are one; no dictionary, so it need only be the same for the same word."""
    for ending in ("ing", "ed", "es", "s"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            break
    if len(word) > 2 and word[-1] == word[-2]:
        word = word[:-1]
    return word.removesuffix("e")
