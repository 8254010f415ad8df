"""The second kind of student in recipes/weak_to_strong.py: the generator itself, two of its blocks changed by low rank.

Command:   python -m recipes.weak_to_strong --run runs/weak --tune "goes left"
Makes:     runs/weak/tuned-*.json, a file for each seed
Time:      three processor minutes a seed

The blocks below START are not trained, so their tokens are computed once, for one draw of noise.
"""

# Letters: n clips, b of them at once, t frames and s tokens of a frame, d width

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from sorairo.nn.rope import turns
from sorairo.training.low_rank import LoraConfig, add_lora
from sorairo.transformer.model import Transformer

log = logging.getLogger("weak_to_strong")
START, STOP = 3, 5
"""The first block that is trained, and the first that is left out."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """rank: of the changes. epochs: over the labels. batch: clips of a step. rate, head_rate: of AdamW. fitted: the
    reader begins where ridge regression on the untouched blocks puts it, in place of zero."""

    rank: int = 8
    epochs: int = 2
    batch: int = 15
    rate: float = 2e-3
    head_rate: float = 2e-2
    fitted: bool = False


@torch.no_grad()
def below(model: Transformer, latents: Tensor, sigma: float, seed: int, empty: Tensor) -> Tensor:
    """The tokens of clips (n c t h w) before block START at noise level sigma, without words: (n t s d), float16."""
    made = []
    for start in range(0, len(latents), 20):
        x = latents[start : start + 20].float()
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + start))
        x = (1 - sigma) * x + sigma * noise
        tokens = model.patches(x)
        run = _blocks(model, len(x), sigma, empty, model.patches.grid(x))
        made.append(run(tokens, 0, START).half())
    return torch.cat(made)


def _blocks(
    model: Transformer, count: int, sigma: float, empty: Tensor, grid: tuple[int, int, int]
) -> Callable[[Tensor, int, int], Tensor]:
    """A function of tokens (b t s d) and two numbers: the tokens behind the blocks between them."""
    modulation = model.time(torch.full((count,), 1000 * sigma)).modulation
    words = model.words(empty.expand(count, -1, -1), None)
    place = turns(grid, model.config.head_dim, empty.device)

    def run(tokens: Tensor, first: int, last: int) -> Tensor:
        for block in model.blocks[first:last]:
            tokens = block(tokens, modulation, words, place)
        return tokens

    return run


class Student(nn.Module):
    """Blocks START to STOP of a generator, changed by low rank, and a linear reader of what they give."""

    def __init__(
        self,
        model: Transformer,
        summary: Callable[[Tensor], Tensor],
        empty: Tensor,
        sigma: float,
        rank: int,
        seed: int,
    ):
        """model: changed in place. summary: tokens (b t s d) -> what is read of them (b ... d)."""
        super().__init__()
        add_lora(model, LoraConfig(rank=rank, alpha=float(rank), targets=("attention", "feed_forward")), seed)
        self.model, self.summary, self.empty, self.sigma = model, summary, empty, sigma
        self.head: nn.Linear
        self.mean: Tensor
        self.scale: Tensor

    def seen(self, tokens: Tensor) -> Tensor:
        side = round(tokens.shape[2] ** 0.5)
        run = _blocks(self.model, len(tokens), self.sigma, self.empty, (tokens.shape[1], side, side))
        return self.summary(run(tokens.float(), START, STOP)).flatten(1)

    @torch.no_grad()
    def begin(self, tokens: Tensor) -> None:
        """Give the reader the mean and the deviation of what it reads, and weights of zero."""
        first = torch.cat([self.seen(part) for part in tokens.split(60)])
        self.mean, self.scale = first.mean(0), 1 / (first.std(0) * first.shape[1] ** 0.5 + 1e-4)
        self.head = nn.Linear(first.shape[1], 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def fit(self, tokens: Tensor, labels: Tensor) -> None:
        """Set the reader by ridge regression of labels 0..1 (n); its firmness by five parts, each kept back once."""
        seen = torch.cat([self.seen(part) for part in tokens.split(60)])
        x, y = (seen - self.mean) * self.scale, 4 * (labels - labels.mean())  # log odds of 2 for sure labels
        part = torch.arange(len(x)) % 5

        def weights(rows: Tensor, firm: float) -> Tensor:
            return x[rows].T @ torch.linalg.solve(
                x[rows] @ x[rows].T + firm * torch.eye(int(rows.sum())), y[rows]
            )

        def error(firm: float) -> float:
            missed = [
                (x[part == i] @ weights(part != i, firm) - y[part == i]).square().sum() for i in range(5)
            ]
            return float(sum(missed))

        self.head.weight.copy_(weights(part >= 0, min((0.03, 0.1, 0.3, 1.0, 3.0), key=error))[None])

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens before block START (b t s d) -> log odds (b)."""
        return self.head((self.seen(tokens) - self.mean) * self.scale)[:, 0]


def tuned(student: Student, tokens: Tensor, labels: Tensor, settings: Settings, seed: int) -> None:
    """Teach a student labels 0..1 (n) of tokens (n t s d); classes count alike."""
    student.begin(tokens[:300])
    if settings.fitted:
        student.fit(tokens, labels)
    changed = [p for name, p in student.model.named_parameters() if "lora_" in name and p.requires_grad]
    optimizer = torch.optim.AdamW(
        [
            {"params": changed, "lr": settings.rate, "weight_decay": 0.01},
            {"params": student.head.parameters(), "lr": settings.head_rate, "weight_decay": 0.1},
        ],
        betas=(0.9, 0.98),
    )
    peaks = (settings.rate, settings.head_rate)
    share = labels.mean().clamp(0.02, 0.98)
    weights = labels * 0.5 / share + (1 - labels) * 0.5 / (1 - share)
    order = torch.Generator().manual_seed(seed)
    steps = settings.epochs * -(-len(labels) // settings.batch)
    done = 0
    for epoch in range(settings.epochs):
        losses = []
        for rows in torch.randperm(len(labels), generator=order).split(settings.batch):
            for group, peak in zip(optimizer.param_groups, peaks, strict=True):
                group["lr"] = peak * min(1.0, 10 * (done + 1) / steps) * (1 - done / steps)
            loss = F.binary_cross_entropy_with_logits(student(tokens[rows]), labels[rows], weights[rows])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            done += 1
        log.info("epoch %d of %d: loss %.3f", epoch + 1, settings.epochs, sum(losses) / len(losses))


@torch.no_grad()
def said(student: Student, tokens: Tensor) -> Tensor:
    """The probability of "yes" (n) for tokens (n t s d)."""
    return torch.cat([student(part).sigmoid() for part in tokens.split(60)])
