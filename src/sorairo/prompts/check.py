"""Whether a rewritten prompt still says what was said: the checker that no rewrite gets past."""

from __future__ import annotations

import re

from sorairo.prompts.grammar import FILLERS, Facts, Grammar, Thing, stem
from sorairo.prompts.understand import NO, understand

__all__ = ["differences", "words"]

NEAR = 4
"""How many words after a colour or a number the thing may follow that it is said of."""


def differences(before: str, after: str, grammar: Grammar, *, moving: bool = True) -> list[str]:
    """What of `before` is not so in `after`, a clause each; empty when all of it is.

    What the grammar understands is compared as facts, in which more may be said but nothing else. Of what it does not
    understand, every word must still be there, colours and numbers before the same things, and no word that denies
    may come or go.
    """
    said = understand(before, grammar, moving=moving)
    now = understand(after, grammar, moving=moving)
    lost = [
        f"the {kind} {wanted!r} became {found or 'nothing'!r}"
        for kind in ("floor", "sky", "camera")
        if (wanted := getattr(said, kind)) and (found := getattr(now, kind)) != wanted
    ]
    return lost + (words_lost(said.left, after, grammar) if said.left else story_lost(said, now))


def story_lost(said: Facts, now: Facts) -> list[str]:
    """Differences between an event that was understood and what came of it."""
    if not said.event:
        return [] if not now.actors and not now.left else ["something happens where nothing was said"]
    if not now.event:
        return [f"it is not clear any more that {said.event!r} happens"]
    if (said.event, said.variant) != (now.event, now.variant):
        return [
            f"{said.event!r} became {now.event!r}"
            if said.event != now.event
            else f"{said.event!r} ends otherwise"
        ]
    lost = things_lost(said.actors, now.actors)
    lost += things_lost(tuple(one for _, one in said.others), tuple(one for _, one in now.others))
    if [relation for relation, _ in said.others] != [relation for relation, _ in now.others]:
        lost.append("what stands by stands elsewhere")
    for kind in ("direction", "times", "first"):
        wanted, found = getattr(said, kind), getattr(now, kind)
        if wanted not in ("", 0, None) or (kind == "first" and wanted == 0):
            lost += [f"the {kind} {wanted!r} became {found!r}"] if wanted != found else []
    return lost


def things_lost(said: tuple[Thing, ...], now: tuple[Thing, ...]) -> list[str]:
    """Differences between objects in the same places."""
    if len(said) != len(now):
        return [f"{len(said)} objects became {len(now)}"]
    return [
        f"{phrase(one)!r} became {phrase(other)!r}"
        for one, other in zip(said, now, strict=True)
        if any(
            getattr(one, key) not in ("", getattr(other, key))
            for key in ("shape", "colour", "size", "material")
        )
    ]


def phrase(thing: Thing) -> str:
    return " ".join(word for word in (thing.size, thing.material, thing.colour, thing.shape) if word)


def words_lost(left: str, after: str, grammar: Grammar) -> list[str]:
    """Differences between words that were not understood and a text that should hold them all."""
    if flat(left) in flat(after):
        return []
    before_words, after_words = words(left), words(after)
    there = {stem(word) for word in after_words}
    lost = [f"{word!r} is gone" for word in before_words if word not in FILLERS and stem(word) not in there]
    bound = {*grammar.colours, "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"}
    pairs, new = said_of(before_words, bound), said_of(after_words, bound)
    lost += [
        f"{one} {other!r} became something else" for one, other in pairs if not holds(one, other, after_words)
    ]
    lost += [
        f"{one} {other!r} is new" for one, other in new
        if other in {stem(word) for word in before_words} and (one, other) not in pairs and one not in before_words
    ]  # fmt: skip
    denied = [
        {word for word in some if word in NO or word.endswith("n't")} for some in (before_words, after_words)
    ]
    return lost + (
        ["something is denied that was not, or the other way round"] if denied[0] != denied[1] else []
    )


def said_of(some: list[str], bound: set[str]) -> list[tuple[str, str]]:
    """(colour or number, the stem of the next word that is none and no filler)."""
    pairs = []
    for index, word in enumerate(some):
        following = [stem(one) for one in some[index + 1 :] if one not in bound and one not in FILLERS]
        if word in bound and following:
            pairs.append((word, following[0]))
    return pairs


def holds(word: str, thing: str, some: list[str]) -> bool:
    """Whether a word stands at most NEAR words before a thing."""
    return any(
        one == word and thing in [stem(other) for other in some[index + 1 : index + 1 + NEAR]]
        for index, one in enumerate(some)
    )


def words(text: str) -> list[str]:
    """The words of a text in small letters, in order."""
    return re.findall(r"[^\W_]+(?:'[^\W_]+)?", text.lower())


def flat(text: str) -> str:
    return " ".join(words(text))
