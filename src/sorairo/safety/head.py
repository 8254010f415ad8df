"""What the encoder and the word lists say of a prompt -> a calibrated probability per category."""

# Letters: b batch, f features, h hidden, k categories

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import torch
from safetensors.torch import load
from torch import Tensor

from sorairo.safety.encoder import Encoder
from sorairo.safety.lexicon import Lexicon
from sorairo.safety.terms import words_of

__all__ = ["Head", "Judge", "is_short"]

FEW = 3
"""Up to so many words, only the lists count."""

MOST = 64
"""Texts that are looked at together."""


MOST_ODDS = 9.0
"""So sure a head may be, as log odds, that it cannot outvote the other alone."""

LEAN = 0.5
"""Added to the mean log odds of both heads: at 0.5, 2% of the benign prompts of the first held-out set are refused."""


@dataclass(frozen=True, kw_only=True)
class Head:
    """A network of one hidden layer beside a linear one, trained by recipes/guard.py."""

    mean: Tensor  # f
    scale: Tensor  # f
    weight1: Tensor  # h f
    bias1: Tensor  # h
    weight2: Tensor  # k h
    linear: Tensor  # k f
    bias2: Tensor  # k
    slope: Tensor  # k
    offset: Tensor  # k

    @classmethod
    def load(cls) -> Head:
        """From the weights in the package: the head on the encoder as it was."""
        tensors = load((files("sorairo.safety") / "weights" / "head.safetensors").read_bytes())
        return cls(**{name: tensor.float() for name, tensor in tensors.items()})

    @classmethod
    def taught(cls) -> Head:
        """The head that was trained together with the encoder's last layers, by recipes/guard_tune.py."""
        tensors = load((files("sorairo.safety") / "weights" / "taught.safetensors").read_bytes())
        own = {
            name.removeprefix("head."): tensor for name, tensor in tensors.items() if name.startswith("head.")
        }
        return cls(**{name: tensor.float() for name, tensor in own.items()})

    def logits(self, x: Tensor) -> Tensor:
        """Features (b f) -> log odds before calibration (b k)."""
        x = (x - self.mean) * self.scale
        hidden = torch.relu(x @ self.weight1.T + self.bias1)  # b h
        return hidden @ self.weight2.T + x @ self.linear.T + self.bias2

    def odds(self, x: Tensor) -> Tensor:
        """Features (b f) -> calibrated log odds (b k), each at most MOST_ODDS from even. Calibration: Platt 1999."""
        return (self.logits(x) * self.slope + self.offset).clamp(-MOST_ODDS, MOST_ODDS)

    def __call__(self, x: Tensor) -> Tensor:
        """Features (b f) -> probabilities (b k)."""
        return torch.sigmoid(self.odds(x))


class Judge:
    """Encoder, word lists and head together; it imports torch, which a harmless prompt does not need."""

    def __init__(self, lexicon: Lexicon):
        self.lexicon = lexicon
        self.encoder = Encoder.load()

    @cached_property
    def heads(self) -> tuple[Head, Head]:
        return Head.load(), Head.taught()

    def probabilities(self, texts: list[str]) -> tuple[Tensor, Tensor]:
        """Folded texts -> what both heads say together (b k), and what the lists have (b FEATURES)."""
        own, taught = self.encoder.both([self.encoder.ids(text) for text in texts])
        lists = torch.tensor([self.lexicon.features(text) for text in texts])
        first, second = self.heads
        odds = (first.odds(torch.cat([own, lists], 1)) + second.odds(torch.cat([taught, lists], 1))) / 2
        return torch.sigmoid(odds + LEAN), lists

    @torch.inference_mode()
    def highest(self, texts: list[str]) -> list[float]:
        """The highest probability of each category over folded texts.

        In a text of few words a category counts only where the lists have one of its words: there the encoder guesses.
        """
        found = []
        for start in range(0, len(texts), MOST):
            some = texts[start : start + MOST]
            said, lists = self.probabilities(some)
            counted = torch.tensor([self.lexicon.counted(row) for row in lists.tolist()])
            few = torch.tensor([is_short(text) for text in some])[:, None]
            found.append(said * torch.where(few, counted, 1.0))
        return torch.cat(found).amax(0).tolist()


def is_short(text: str) -> bool:
    """Whether a text has at most FEW words, or as many pairs of letters where its script has no gaps."""
    words = words_of(text)
    return len(words) <= FEW and sum(map(len, words)) <= (40 if text.isascii() else 4 * FEW)
