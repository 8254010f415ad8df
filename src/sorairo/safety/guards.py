"""The guards that give scores: of words, of pictures. A policy decides what the scores mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from typing import Protocol

import numpy as np

from sorairo.safety.normalise import bare, fold
from sorairo.safety.terms import Terms
from sorairo.types import UserError

__all__ = ["FrameScores", "WordScores", "frame_guard", "highest", "listed", "word_guard"]

Scores = dict[str, float]


class WordScores(Protocol):
    """Scores of a text."""

    def scores(self, text: str) -> Scores:
        """category -> 0 to 1, calibrated."""
        ...


class FrameScores(Protocol):
    """Scores of pictures."""

    def scores(self, frames: np.ndarray, fps: float) -> Scores:
        """category -> 0 to 1, the highest of the looked-at frames; frames uint8 (t h w 3)."""
        ...


@cache
def word_guard() -> Callable[[str], Mapping[str, float]]:
    """The scores of a text by the guard of words, which is loaded once; the last texts are remembered."""
    guard: WordScores = import_module("sorairo.safety.prompts").WordGuard()
    return lru_cache(maxsize=1024)(guard.scores)


@cache
def frame_guard(named: str = "") -> FrameScores | None:
    """The guard of pictures, loaded once; None where the extra `safety` is not installed.

    named: an operator's own class, "package.module:Class", made without arguments. Raises UserError if it cannot be.
    """
    if named:
        module, _, name = named.partition(":")
        try:
            return getattr(import_module(module), name)()
        except Exception as error:  # it is the operator's code, which may raise anything
            raise UserError(f"The policy's guard of pictures {named} cannot be loaded ({error}).") from error
    try:
        return import_module("sorairo.safety.frames").FrameGuard()
    except (ModuleNotFoundError, UserError):
        return None


def highest(several: Sequence[Mapping[str, float]]) -> Scores:
    """The highest score of each category."""
    found: Scores = {}
    for scores in several:
        for name, score in scores.items():
            found[name] = max(score, found.get(name, 0.0))
    return found


def listed(text: str, blocklist: Mapping[str, Sequence[str]]) -> Scores:
    """1 for every category that has a phrase of the blocklist in the text: whole words in any case or form, disguised
    letters too, with a star for any ending; phrases of scripts without gaps anywhere."""
    terms = Terms({name: "\n".join(map(fold, phrases)) for name, phrases in blocklist.items()})
    return dict.fromkeys(terms.found(bare(fold(text))), 1.0)
