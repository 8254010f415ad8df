"""Weak-to-strong supervision: a student with strong features learns from a weak supervisor's labels.

Source: Burns et al. 2023 (arXiv 2312.09390). The figure is the performance gap recovered, (student - weak) /
(ceiling - weak), where the ceiling is the same student taught by the truth.
"""

# Letters: n clips, d values of a clip's features, k components of these, c channels, y x pixels, q questions

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "MOST",
    "Outcome",
    "ProbeConfig",
    "Score",
    "balanced",
    "bootstrapped",
    "chosen",
    "components",
    "confident_target",
    "frame_classifier",
    "probe",
    "reader",
    "recovered",
    "selected",
]

Score = Callable[[Tensor], Tensor]  # (n ...) -> the probability of "yes" (n)
SMALLEST_GAP = 0.03  # between ceiling and supervisor, below which a recovered share means nothing


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """How a probe learns. way: naive imitates the labels; confident adds the auxiliary loss of the paper's section 4.3.

    components: how many principal components of the features are read. penalty: of the squared weights, for features
    of unit variance. steps: how often a confident student's targets are renewed. auxiliary: the largest weight of its
    own hardened guesses. warm: the part of the steps in which that weight rises.
    """

    way: Literal["naive", "confident"] = "naive"
    components: int = 64
    penalty: float = 0.1
    steps: int = 40
    auxiliary: float = 0.5
    warm: float = 0.1


MOST = 256
"""Components that a reader has at most."""
CHOICES = tuple(
    (components, penalty) for components in (8, 16, 32, 64, 128, MOST) for penalty in (0.03, 0.3, 3.0)
)
"""(components, penalty) among which `chosen` chooses."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Balanced accuracies on one test set, 0 to 1."""

    weak: float
    student: float
    ceiling: float

    @property
    def recovered(self) -> float | None:
        """See `recovered`."""
        return recovered(self.weak, self.student, self.ceiling)


def recovered(weak: float, student: float, ceiling: float) -> float | None:
    """The share of the gap that the student closes; None where the gap is under 3 points. Source: section 3."""
    gap = ceiling - weak
    return None if gap < SMALLEST_GAP else (student - weak) / gap


def balanced(said: Tensor, truth: Tensor) -> float:
    """The mean of the accuracies on "yes" and on "no"; said: probabilities (n), truth: 0 or 1 (n)."""
    right = (said > 0.5) == (truth > 0.5)
    parts = [right[truth > 0.5], right[truth <= 0.5]]
    return float(torch.stack([part.float().mean() for part in parts]).mean())


def confident_target(said: Tensor, weak: Tensor, progress: float, config: ProbeConfig) -> Tensor:
    """What the student is to say (n): the weak labels mixed with its own hardened guesses.

    said: its present probabilities (n). progress: the part of the training that is done. The threshold makes as many
    guesses "yes" as the weak labels have. Source: the paper's section 4.3 and its public code, where the weight rises
    from 0 to warm * auxiliary and then jumps to auxiliary.
    """
    weight = config.auxiliary * (1.0 if progress > config.warm else progress)
    threshold = said.quantile(1 - weak.mean().clamp(0.0, 1.0))
    return (1 - weight) * weak + weight * (said > threshold).float()


def probe(features: Tensor, labels: Tensor, config: ProbeConfig) -> Score:
    """A linear reader of features (n d) that has learnt labels in 0..1 (n); see `reader`."""
    reduce = components(features, config.components)
    read = reader(reduce(features), labels, config)
    return lambda new: read(reduce(new))


def reader(z: Tensor, labels: Tensor, config: ProbeConfig) -> Score:
    """A linear reader of components (n k), the first of `components`, that has learnt labels in 0..1 (n).

    Ridge regression on the principal components of the standardised features, each scaled to unit variance, so that
    few labels cannot be learnt by heart; classes count alike. The paper's students are trained on cross entropy;
    squares have an exact solution, and the hardened guesses enter as targets in both.
    """
    z = z[:, : config.components]
    learnt = ridge(z, labels, config.penalty)
    weights = learnt(labels)
    if config.way == "confident":
        for step in range(config.steps):
            said = (z @ weights[:-1] + weights[-1]).sigmoid()
            weights = learnt(confident_target(said, labels, step / config.steps, config))
    return lambda new: (4 * (new[:, : config.components] @ weights[:-1] + weights[-1])).sigmoid()


def components(features: Tensor, most: int) -> Score:
    """A function of features (n d) to their first principal components, at most `most`, of unit variance (n k)."""
    mean, deviation = features.mean(0), features.std(0).clamp_min(1e-4)
    x = (features - mean) / deviation
    squares, sides = torch.linalg.eigh(x @ x.T)  # n, n n: far fewer clips than values
    squares, sides = squares.flip(0), sides.flip(1)
    kept = min(most, int((squares > 1e-6 * squares[0]).sum()))
    turn = x.T @ sides[:, :kept] * (len(x) ** 0.5 / squares[:kept])  # d k
    return lambda new: ((new - mean) / deviation) @ turn


def ridge(z: Tensor, labels: Tensor, penalty: float) -> Callable[[Tensor], Tensor]:
    """Targets 0..1 (n) -> weights (k + 1), the last the offset, that fit them from -1 to 1 over z (n k).

    The classes of `labels` count alike; penalty: of the squared weights beside the mean square error.
    """
    share = labels.mean().clamp(0.02, 0.98)
    counts = torch.where(labels > 0.5, 0.5 / share, 0.5 / (1 - share)) / len(z)
    ones = torch.cat([z, torch.ones(len(z), 1)], 1)
    held = torch.full((ones.shape[1],), penalty)
    held[-1] = 0
    inverse = torch.linalg.inv((ones * counts[:, None]).T @ ones + torch.diag(held))
    return lambda targets: inverse @ (ones.T @ (counts * (2 * targets - 1)))


def selected(features: Tensor, labels: Tensor, config: ProbeConfig, seed: int, folds: int = 5) -> ProbeConfig:
    """`chosen` for the components of features (n d)."""
    return chosen(components(features, MOST)(features), labels, config, seed, folds)


def chosen(z: Tensor, labels: Tensor, config: ProbeConfig, seed: int, folds: int = 5) -> ProbeConfig:
    """The config with the components and the penalty whose reader agrees best with labels that it was not taught.

    z: components (n k). Only the labels that the reader is taught are looked at, never the truth. folds: parts, each
    kept back once.
    """
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    found = torch.zeros(len(CHOICES))
    for kept_back in order.chunk(folds):
        taught = torch.ones(len(labels), dtype=torch.bool)
        taught[kept_back] = False
        for index, (most, penalty) in enumerate(CHOICES):
            some = z[:, :most]
            weights = ridge(some[taught], labels[taught], penalty)(labels[taught])
            said = (some[kept_back] @ weights[:-1] + weights[-1]).sigmoid()
            found[index] += balanced(said, labels[kept_back])
    most, penalty = CHOICES[int(found.argmax())]
    return replace(config, components=most, penalty=penalty)


def bootstrapped(stages: Sequence[Tensor], labels: Tensor, config: ProbeConfig, seed: int) -> Score:
    """A chain of readers, each taught by the one before; the last reads components like stages[-1] (section 4.3.1).

    stages: components (n k) of what each of them sees.
    """
    for stage in stages[:-1]:
        labels = (reader(stage, labels, chosen(stage, labels, config, seed))(stage) > 0.5).float()
    return reader(stages[-1], labels, chosen(stages[-1], labels, config, seed))


class Frames(nn.Module):
    """A small classifier of single frames, float (n c y x) in 0..1 -> logits (n q) of some questions."""

    def __init__(self, channels: int, questions: int) -> None:
        super().__init__()
        widths = (channels, 16, 32, 48)
        self.layers = nn.Sequential(
            *(
                nn.Sequential(nn.Conv2d(a, b, 3, stride=2, padding=1), nn.GroupNorm(4, b), nn.SiLU())
                for a, b in pairwise(widths)
            )
        )
        self.reader = nn.Linear(widths[-1] * 16, questions)

    def forward(self, frames: Tensor) -> Tensor:
        x = self.layers(frames)
        return self.reader(F.adaptive_avg_pool2d(x, 4).flatten(1))


def frame_classifier(frames: np.ndarray, labels: Tensor, seed: int, epochs: int = 25) -> Score:
    """A supervisor that sees one frame of each clip: uint8 (n y x c), labels (n q), NaN where nothing is known.

    Its score takes such frames and gives probabilities (n q).
    """
    torch.manual_seed(seed)
    model, batch = Frames(frames.shape[-1], labels.shape[1]), 32
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.05)
    x, known = _floats(frames), ~labels.isnan()
    share = labels.nanmean(0).nan_to_num(0.5).clamp(0.02, 0.98)
    labels = labels.nan_to_num(0.0)
    weights = torch.where(labels > 0.5, 0.5 / share, 0.5 / (1 - share)) * known
    total = epochs * -(-len(x) // batch)
    done = 0
    for _ in range(epochs):
        for rows in torch.randperm(len(x)).split(batch):
            noisy = x[rows] + 0.03 * torch.randn_like(x[rows])
            loss = F.binary_cross_entropy_with_logits(model(noisy), labels[rows], weights[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            done += 1
            for group in optimizer.param_groups:
                group["lr"] = 2e-3 * (1 - done / total)
    model.eval()

    @torch.no_grad()
    def score(new: np.ndarray | Tensor) -> Tensor:
        return torch.cat([model(part).sigmoid() for part in _floats(np.asarray(new)).split(256)])

    return score


def _floats(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255
