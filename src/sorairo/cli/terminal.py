"""Text that comes from a file or another program, as a terminal may show it."""

from __future__ import annotations

import unicodedata

__all__ = ["safe"]

HIDDEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
"""Categories that move the cursor, turn the direction of writing, or show nothing."""

JOINERS = "\u200c\u200d"
"""Which Hindi, Persian and emoji need."""


def safe(text: object) -> str:
    """`text` with every control and formatting character written out, such as \\x1b, so that none takes effect."""
    return "".join(
        character
        if unicodedata.category(character) not in HIDDEN or character in JOINERS
        else character.encode("unicode_escape", "surrogatepass").decode("ascii")
        for character in str(text)
    )
