"""A prompt -> how likely it asks for what each category names: word lists and an encoder, weighed by a trained head."""

from __future__ import annotations

import re
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING

from sorairo.safety.categories import CATEGORIES
from sorairo.safety.lexicon import COUNTED, Lexicon
from sorairo.safety.normalise import Speller, fold
from sorairo.safety.terms import words_of

if TYPE_CHECKING:
    from sorairo.safety.head import Judge

__all__ = ["LONG", "THRESHOLD", "WordGuard", "minors", "pieces"]

THRESHOLD = 0.5
"""The score at which the published figures are measured."""

YOUNG_THRESHOLD = 0.15
"""The sexual score at which a prompt with somebody under age in it falls under `minors`."""

BARED_THRESHOLD = 0.1
"""The sexual score at which a prompt with a real person and a word of the sexual lists falls under `likeness`: the two
meanings halve each other's scores."""

MOST_SURE = 0.999
"""A score of 1 is left to the operator's blocklist."""

PART = re.compile(r"(?<=[.!?;])\s+|(?<=[\u3002\uff01\uff1f\uff1b])")
LONG = 320
"""Letters of the longest piece that is scored as one."""


class WordGuard:
    """Scores prompts in any language; everything it needs is in the package and loads at the first prompt."""

    @cached_property
    def harmless(self) -> frozenset[str]:
        """Words that cannot make a sentence that asks for harm: no people, bodies, weapons or speech."""
        return frozenset(_lines("harmless.txt"))

    @cached_property
    def lexicon(self) -> Lexicon:
        return Lexicon.load()

    @cached_property
    def judge(self) -> Judge:
        from sorairo.safety.head import Judge

        return Judge(self.lexicon)

    @cached_property
    def speller(self) -> Speller:
        find = self.judge.encoder.tokenizer.token_to_id
        whole = lambda word: len(word) > 1 and find("▁" + word) is not None  # noqa: E731
        return Speller(_lines("known.txt"), self.lexicon.listed, whole)

    def readings(self, text: str) -> list[str]:
        """A prompt as it stands, folded, and as somebody reads it who corrects its spelling."""
        plain = fold(text)
        return list(dict.fromkeys((plain, self.speller.repair(plain))))

    def scores(self, text: str) -> dict[str, float]:
        """Category -> probability from 0 to 1 that the prompt asks for it; 0 for all where every word is harmless.

        A long prompt is also read sentence by sentence, and the highest score counts, so that one sentence cannot hide
        among others. Two rules: `minors`, for somebody under age, and `likeness`, for a real person among words of the
        sexual lists, both from a low sexual score on.
        """
        if all(word in self.harmless for word in words_of(fold(text))):
            return dict.fromkeys(CATEGORIES, 0.0)
        readings = self.readings(text)
        found = self.judge.highest([part for reading in readings for part in parts(reading)])
        highest = dict(zip(COUNTED, (min(score, MOST_SURE) for score in found), strict=True))
        highest["minors"] = minors(highest["sexual"], any(map(self.lexicon.young, readings)))
        if highest["sexual"] >= BARED_THRESHOLD and any(map(self.lexicon.bared, readings)):
            highest["likeness"] = max(highest["likeness"], THRESHOLD)
        return {category: highest[category] for category in CATEGORIES}


def _lines(name: str) -> list[str]:
    return (files("sorairo.safety") / "words" / name).read_text("utf-8").split()


def minors(sexual: float, is_young: bool) -> float:
    """The score of `minors`, from that of `sexual` and whether somebody under age is in the prompt."""
    return max(sexual, THRESHOLD) if is_young and sexual >= YOUNG_THRESHOLD else 0.0


def parts(text: str) -> list[str]:
    """A folded text, its sentences where it has several, and overlapping pieces of what is long."""
    sentences = [part for part in PART.split(text) if sum(map(str.isalpha, part)) > 2]
    whole = [text, *sentences] if len(sentences) > 1 else [text]
    return [piece for part in whole for piece in pieces(part)]


def pieces(text: str) -> list[str]:
    """A text, or pieces of at most LONG letters that overlap by half, cut between words."""
    if len(text) <= LONG:
        return [text]
    found, start = [], 0
    while start + LONG // 2 < len(text):
        end = start + LONG
        cut = text.rfind(" ", start + LONG // 2, end) if end < len(text) else end
        found.append(text[start : cut if cut > 0 else end].strip())
        start += LONG // 2
        start = text.find(" ", start, start + 30) + 1 or start
    return found
