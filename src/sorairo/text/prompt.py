"""Prompts as strings: cleaned as WanPipeline cleans them, their words, and what a model will not understand."""

from __future__ import annotations

import html
import re
import unicodedata
from collections.abc import Collection

from sorairo.types import UserError

__all__ = ["check_text", "clean", "denials", "unknown_words", "words"]

INSIDE = "'\u2019\u200c\u200d"
"""Apostrophes and joiners: part of a word between two letters. Persian and Indian scripts use the joiners."""

SIGNS = 0x2000
"""The code point from which a symbol (category So) is a picture such as an emoji, not a mark such as a degree."""

DENIAL = re.compile(
    r"\b(?:no|not|never|none|nothing|nobody|without|\w+n['\u2019]t)\b(?:\s+[^\W\d_]+){0,2}|(?:没有|不要)\w{0,4}",
    re.IGNORECASE,
)
"""A word that denies, with up to two words after it."""


def clean(prompt: str) -> str:
    """HTML entities undone (twice, as they come), every run of white space one space, none at the ends."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(prompt))).strip()


def check_text(text: str, called: str = "The prompt") -> str:
    """The text itself. Raises UserError where it holds half a character, as a byte that is not UTF-8 leaves."""
    if any(0xD800 <= ord(letter) <= 0xDFFF for letter in text):
        raise UserError(f"{called} has a byte that is not UTF-8; write it in UTF-8.")
    return text


def words(text: str) -> list[str]:
    """The words of a text in small letters, in order: letters, digits and the marks that combine with them.

    An emoji is a word of its own. Punctuation is none. Hyphenated words count by their parts.
    """
    found: list[str] = []
    word, sign = "", False
    for letter in unicodedata.normalize("NFC", clean(text).lower()) + " ":
        kind = unicodedata.category(letter)
        picture = kind == "So" and ord(letter) >= SIGNS
        goes_on = word and (kind[0] == "M" or letter in INSIDE or (sign and kind == "Sk"))
        if goes_on or (kind[0] in "LN" and not sign) or (picture and (not word or word[-1] == "\u200d")):
            sign = sign or picture
            word += letter
            continue
        if word:
            found.append(word.strip(INSIDE).replace("\u2019", "'"))
        starts = kind[0] in "LN" or picture
        word, sign = (letter if starts else ""), picture
    return found


def unknown_words(prompt: str, vocabulary: Collection[str]) -> list[str]:
    """The words of a prompt that are not in a lower-case vocabulary, in order, each once.

    An empty vocabulary knows every word.
    """
    if not vocabulary:
        return []
    known = set(vocabulary)
    return list(
        dict.fromkeys(
            word for word in words(prompt) if word not in known and word.removesuffix("'s") not in known
        )
    )


def denials(prompt: str) -> list[str]:
    """The negations of a prompt, such as "no ball" or "without a wall", in order.

    Video models take every word as something to show, so a user should know.
    """
    return [found[0] for found in DENIAL.finditer(clean(prompt))]
