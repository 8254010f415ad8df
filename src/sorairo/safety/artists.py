"""Prompts without the name of an artist whose style they ask for, as DALL-E 3 rewrote them."""

from __future__ import annotations

import re

__all__ = ["without_artist"]

PARTICLE = r"(?:van|von|de|der|den|di|da|del|la|le|el|bin|al)"
UPPER = r"(?:[A-Z\u00c0-\u00de]\.|[A-Z\u00c0-\u00de][\w\u2019-]+(?:'\w{2,})?)"
NAMED = rf"{UPPER}(?:\s+(?:{PARTICLE}\s+)*{UPPER}){{0,3}}"
STOP = r"(?!(?i:with|and|on|in|at|a|an|the|of|to|for|is|are|while|where|mit|und|avec|et|con|y|com|e)\b)"
SMALL = rf"{STOP}[^\W\d_]+(?:\s+{STOP}[^\W\d_]+)?"
WHO = rf"(?:{NAMED}|{SMALL})(?:'s|\u2019s)?"
CRAFT = r"(?:artist|painter|director|animator|illustrator|photographer|film\s?maker|studio)"
HAN = r"[\u4e00-\u9fff\u00b7]{2,8}"
KANA = r"[\u3040-\u30ff\u4e00-\u9fff\u30fb]{2,10}"

PATTERNS = tuple(
    re.compile(rf"(?:,\s*)?{form}")
    for form in (
        # English: in the style of X; in X's style; X-style, X-inspired; painted by X
        rf"(?i:\b(?:(?:all\s+)?in|after|with|using|copying|imitating)\s+(?:the\s+)?(?:\w+\s+){{0,2}}?"
        rf"(?:style|manner|look|aesthetic)s?\s+of\s+(?:the\s+)?(?:\w+\s+)?(?:{CRAFT}\s+)?){WHO}",
        rf"\b(?i:in\s+){NAMED}(?:'s?|\u2019s?)?\s+(?i:(?:\w+\s+)?(?:style|manner|look|aesthetic)s?)\b",
        rf"\b{NAMED}(?:'s?|\u2019s?)?[\s-]+(?i:style|styled|inspired|esque)\b(?:\s+of\b)?",
        rf"(?i:\b(?:as\s+)?(?:painted|drawn|directed|animated|illustrated|photographed)\s+by\s+){WHO}",
        rf"(?i:\b(?:inspired|influenced)\s+by\s+){NAMED}",
        # German, French, Spanish, Portuguese, Italian
        rf"(?i:\bim\s+(?:stil|look)\s+(?:von|des|der)\s+){WHO}",
        rf"(?i:\b(?:dans\s+le|au)\s+style\s+(?:de|du|d['\u2019])\s*){WHO}",
        rf"(?i:\b(?:en|con)\s+(?:el\s+)?estilo\s+(?:de|del)\s+){WHO}",
        rf"(?i:\b(?:no|com\s+o)\s+estilo\s+(?:de|do|da)\s+){WHO}",
        rf"(?i:\b(?:nello|con\s+lo)\s+stile\s+(?:di|del)\s+){WHO}",
        # Chinese, Japanese
        rf"(?:\u4ee5|\u7528|\u6a21\u4eff)?(?:{HAN}|{NAMED})\u7684?(?:\u98ce\u683c|\u753b\u98ce)\u7684?",
        rf"(?:{KANA}|{NAMED})(?:\u98a8|\u306e\u30b9\u30bf\u30a4\u30eb)[\u3067\u306e]?",
    )
)


def without_artist(text: str) -> str:
    """The text without "in the style of NAME" and the like, in eight languages; the same text if it has none.

    Only whoever has decided that an artist is meant should call this: it would take out a period or a school as well.
    """
    changed = text
    for pattern in PATTERNS:
        changed = pattern.sub("", changed)
    if changed == text:
        return text
    changed = re.sub(r"\s+([,.;!?])", r"\1", re.sub(r"\s{2,}", " ", changed)).strip(" ,;\uff0c\u3001")
    return changed[:1].upper() + changed[1:]
