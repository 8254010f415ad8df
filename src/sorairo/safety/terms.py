"""Which of thousands of words and phrases stand in a text, in one pass and without compiling anything."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from sorairo.safety.normalise import bare

__all__ = ["Terms", "words_of"]

UNSPACED = re.compile(r"[\u0e00-\u0e7f\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]")
"""Scripts without gaps between words, and Korean, whose endings stick to them."""

WORD = re.compile(r"<[/|]?\w+\|?>|\[/?inst\]|\w+")
TERM = re.compile(r"<[/|]?\w+\|?>|\[/?inst\]|\w+\*?|\*")
GAP = 3
"""So many words may stand where a phrase has a star of its own."""


def words_of(text: str) -> list[str]:
    """The words of a bare text; marks such as <|im_end|> are one."""
    return WORD.findall(text)


class Terms:
    """Labelled words and phrases. A star at a word's end takes any ending; one between words up to three words.

    lists: label -> terms separated by | or by lines. Words of UNSPACED scripts are found inside of others.
    """

    def __init__(self, lists: Mapping[str, str]):
        self.exact: dict[str, list[tuple[tuple[str, ...], str, str]]] = {}
        self.prefix: dict[str, list[tuple[tuple[str, ...], str, str]]] = {}
        self.inside: list[tuple[str, str]] = []
        for label, text in lists.items():
            for term in filter(None, (part.strip() for part in bare(text).replace("\n", "|").split("|"))):
                if UNSPACED.search(term):
                    self.inside.append((term.rstrip("*"), label))
                else:
                    self._add(term, label)

    def _add(self, term: str, label: str) -> None:
        parts = tuple(TERM.findall(term))
        if not any(part.strip("*") for part in parts):
            return
        first = parts[0]
        if first.endswith("*"):
            self.prefix.setdefault(first[:2], []).append((parts, term, label))
        else:
            self.exact.setdefault(first, []).append((parts, term, label))

    def found(self, text: str) -> dict[str, set[str]]:
        """Label -> those of its terms that stand in a bare text."""
        words = words_of(text)
        hits: dict[str, set[str]] = {}
        for place, word in enumerate(words):
            for parts, term, label in (*self.exact.get(word, ()), *self.prefix.get(word[:2], ())):
                if term not in hits.get(label, ()) and _fits(parts, words, place):
                    hits.setdefault(label, set()).add(term)
        if UNSPACED.search(text):
            for term, label in self.inside:
                if term in text:
                    hits.setdefault(label, set()).add(term)
        return hits

    def words(self) -> Iterable[str]:
        """All words of the terms, stars left out."""
        for table in (self.exact, self.prefix):
            for entries in table.values():
                for parts, _, _ in entries:
                    yield from (part.rstrip("*") for part in parts if part != "*")


def _fits(parts: tuple[str, ...], words: list[str], place: int) -> bool:
    """Whether a phrase stands at a place."""
    for number, part in enumerate(parts):
        if part == "*":
            rest = parts[number + 1 :]
            return any(_fits(rest, words, place + gap) for gap in range(GAP + 1))
        if place >= len(words):
            return False
        word = words[place]
        if not (word.startswith(part[:-1]) if part.endswith("*") else word == part):
            return False
        place += 1
    return True
