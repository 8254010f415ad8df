"""Whoever writes captions, and how the captions of a clip are put together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from sorairo.data.sources.base import KINDS
from sorairo.types import UserError

__all__ = ["Captioner", "Unusable", "Words", "shares"]


class Unusable(UserError):
    """The captioner itself does not work, whichever clip it is given."""


class Captioner(Protocol):
    """Writes captions of clips. name: another one means that its captions differ; it is noted beside them."""

    name: str

    def caption(self, frames: np.ndarray, fps: float) -> list[str]:
        """Of one clip, uint8 (t h w 3): first its main subject in one sentence, then everything there is to say.

        May be called from several threads. Raises UserError where it cannot be done, and Unusable where it never can.
        """
        ...


@dataclass(frozen=True, kw_only=True)
class Words:
    """The captions of one clip: those that came with it, and those that a captioner wrote (subject, everything)."""

    original: tuple[str, ...] = ()
    synthetic: tuple[str, ...] = ()

    def by_kind(self) -> dict[str, str]:
        """A caption for each of KINDS.

        With both, long and short are the captioner's and the paraphrases those that came with the clip: so the shares
        of kinds in a loader decide how often each is drawn (`shares`). With one of them alone it fills all four.
        """
        if self.original and self.synthetic:
            subject, everything = self.synthetic[0], self.synthetic[-1]
            lines: Sequence[str] = (
                everything,
                subject,
                self.original[0],
                self.original[1 % len(self.original)],
            )
        elif self.synthetic:
            subject, everything = self.synthetic[0], self.synthetic[-1]
            lines = (everything, subject, everything, subject)
        else:
            lines = [self.original[index % len(self.original)] for index in range(len(KINDS))]
        return dict(zip(KINDS, lines, strict=True))


def shares(synthetic: float) -> tuple[float, float, float, float]:
    """Shares of KINDS for which that share of all captions drawn is synthetic and long, the rest original.

    Betker et al., "Improving Image Generation with Better Captions" (DALL-E 3), 2023, section 3.2: they took 0.95.
    """
    assert 0 <= synthetic <= 1
    rest = (1 - synthetic) / 2
    return synthetic, 0.0, rest, rest
