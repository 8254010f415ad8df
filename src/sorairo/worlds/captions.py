"""Words for a clip, from its state."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Captions"]


@dataclass(frozen=True, kw_only=True)
class Captions:
    """long: exact. short: as a person would say it. paraphrases: trained; heldout_paraphrases: never trained."""

    long: str
    short: str
    paraphrases: tuple[str, ...] = ()
    heldout_paraphrases: tuple[str, ...] = ()
