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
from sorairo.safety.lexicon import FEATURES, Lexicon
from sorairo.safety.terms import words_of

__all__ = ["Head", "Judge", "is_short"]

FEW = 3
"""Up to so many words, only the lists count."""

MOST = 64
"""Texts that are looked at together."""


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
        """From the weights in the package."""
        tensors = load((files("sorairo.safety") / "weights" / "head.safetensors").read_bytes())
        return cls(**{name: tensor.float() for name, tensor in tensors.items()})

    def logits(self, x: Tensor) -> Tensor:
        """Features (b f) -> log odds before calibration (b k)."""
        x = (x - self.mean) * self.scale
        hidden = torch.relu(x @ self.weight1.T + self.bias1)  # b h
        return hidden @ self.weight2.T + x @ self.linear.T + self.bias2

    def __call__(self, x: Tensor) -> Tensor:
        """Features (b f) -> probabilities (b k). Calibration: Platt 1999."""
        return torch.sigmoid(self.logits(x) * self.slope + self.offset)


class Judge:
    """Encoder, word lists and head together; it imports torch, which a harmless prompt does not need."""

    def __init__(self, lexicon: Lexicon):
        self.lexicon = lexicon
        self.encoder = Encoder.load()

    @cached_property
    def head(self) -> Head:
        return Head.load()

    def features(self, texts: list[str]) -> Tensor:
        """Folded texts -> what the head sees (b f)."""
        vectors = self.encoder.vectors([self.encoder.ids(text) for text in texts])
        return torch.cat([vectors, torch.tensor([self.lexicon.features(text) for text in texts])], 1)

    @torch.inference_mode()
    def highest(self, texts: list[str]) -> list[float]:
        """The highest probability of each category over folded texts.

        In a text of few words a category counts only where the lists have one of its words: there the encoder guesses.
        """
        found = []
        for start in range(0, len(texts), MOST):
            some = texts[start : start + MOST]
            features = self.features(some)
            counted = torch.tensor([self.lexicon.counted(row) for row in features[:, -FEATURES:].tolist()])
            few = torch.tensor([is_short(text) for text in some])[:, None]
            found.append(self.head(features) * torch.where(few, counted, 1.0))
        return torch.cat(found).amax(0).tolist()


def is_short(text: str) -> bool:
    """Whether a text has at most FEW words, or as many pairs of letters where its script has no gaps."""
    words = words_of(text)
    return len(words) <= FEW and sum(map(len, words)) <= (40 if text.isascii() else 4 * FEW)
