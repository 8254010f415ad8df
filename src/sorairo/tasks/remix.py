"""Remix a clip: say what is different now; all other words stay."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.edit import edit
from sorairo.types import Plan, Video

__all__ = ["remix", "remixed"]

SMALL = {"a", "the", "is", "are", "and", "now", "to"}


Kinds = Sequence[Collection[str]]
"""Kinds of words that a thing has one of at a time, in small letters; see prompts/kinds.py."""


def remix(
    clip: Video,
    said: str,
    change: str,
    model: Abilities,
    ask: Ask | None = None,
    *,
    kinds: Kinds,
    strength: float = 0.9,
) -> Plan:
    """An edit of a clip that was made from the words `said`; `change` says what is different now."""
    return edit(clip, remixed(said, change, kinds), model, ask, strength=strength)


def remixed(said: str, change: str, kinds: Kinds) -> str:
    """The words of a clip with a change worked in.

    "A red ball drops onto a grey floor." and "now the ball is blue" give "A blue ball drops onto a grey floor.": a word
    of a kind replaces the word of that kind for the same object, or the only one. Other changes become a sentence.
    """
    words, left = said, []
    changed = re.findall(r"[a-z]+", change.lower())
    for word in changed:
        kind = next((kind for kind in kinds if word in kind), None)
        if kind is None:
            continue
        old = _described(words, changed, kind)
        if old is not None and old[1].lower() != word:
            words = words[: old[0]] + _cased(word, old[1]) + words[old[0] + len(old[1]) :]
        elif not re.search(rf"\b{word}\b", words.lower()):
            left.append(word)
    if words == said or left:
        sentence = re.sub(r"^\s*now,?\s+", "", change.strip(), flags=re.IGNORECASE).rstrip(".")
        words = f"{words.strip().rstrip('.')}. {sentence[:1].upper()}{sentence[1:]}."
    return words


def _described(said: str, changed: Sequence[str], kind: Collection[str]) -> tuple[int, str] | None:
    """(place, word) in `said` of the word of a kind that the change is about; None if that is not clear."""
    found = [(m.start(), m[0]) for m in re.finditer(r"[A-Za-z]+", said)]
    old = [(place, word) for place, word in found if word.lower() in kind]
    if len(old) == 1:
        return old[0]
    for place, word in old:  # "red ball": the noun that follows is the one that the change names
        after = [later.lower() for start, later in found if start > place][:2]
        if any(noun in changed and noun not in SMALL for noun in after):
            return place, word
    return None


def _cased(word: str, like: str) -> str:
    return word.capitalize() if like[:1].isupper() else word
