"""Prompts as strings: cleaned as WanPipeline cleans them, and which of their words a model knows."""

from __future__ import annotations

import html
import re
from collections.abc import Collection

__all__ = ["clean", "unknown_words"]


def clean(prompt: str) -> str:
    """HTML entities undone (twice, as they come), every run of white space one space, none at the ends."""
    return re.sub(r"\s+", " ", html.unescape(html.unescape(prompt))).strip()


def unknown_words(prompt: str, vocabulary: Collection[str]) -> list[str]:
    """The words of a prompt that are not in a lower-case vocabulary, in order, each once.

    An empty vocabulary knows every word. Numbers and hyphenated words count by their parts.
    """
    if not vocabulary:
        return []
    words = re.findall(r"[^\W_]+(?:'[^\W_]+)?", clean(prompt).lower())
    known = set(vocabulary)
    return list(
        dict.fromkeys(word for word in words if word not in known and word.removesuffix("'s") not in known)
    )
