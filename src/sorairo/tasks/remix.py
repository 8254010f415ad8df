"""Remix a clip: say what should be different; what is not mentioned stays."""

from __future__ import annotations

import re
from collections.abc import Sequence

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.edit import edit
from sorairo.types import Plan, Video

__all__ = ["remix", "remixed"]

# Of each kind a thing is one at a time: a new word takes the place of the old one.
KINDS = tuple(
    words.split()
    for words in (
        "red orange yellow green teal blue purple pink brown black grey gray white cream silver gold",
        "ball sphere cube box block cylinder cone capsule pill",
        "small medium large little big tiny huge",
        "matte shiny metal glass wood wooden",
        "left right",
    )
)
SMALL = {"a", "the", "is", "are", "and", "now", "to"}


def remix(
    clip: Video, said: str, change: str, model: Abilities, ask: Ask | None = None, *, strength: float = 0.9
) -> Plan:
    """An edit of a clip that was made from the words `said`, by what `change` says is now different."""
    return edit(clip, remixed(said, change), model, ask, strength=strength)


def remixed(said: str, change: str) -> str:
    """The words of a clip with a change worked in.

    "A red ball drops onto a grey floor." and "now the ball is blue" give "A blue ball drops onto a grey floor.":
    a word of a kind (colour, shape, size, material, side) takes the place of the one that described the same
    thing, or of the only one of its kind. What cannot be placed so stands as a sentence of its own.
    """
    words, left = said, []
    changed = re.findall(r"[a-z]+", change.lower())
    for word in changed:
        kind = next((kind for kind in KINDS if word in kind), None)
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


def _described(said: str, changed: Sequence[str], kind: Sequence[str]) -> tuple[int, str] | None:
    """(place, word) of the word of a kind in `said` that the change is about, None if that is not clear."""
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
