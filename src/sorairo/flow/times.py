"""Which noise levels a training batch sees: logit-normal, shifted, for whole clips or frame by frame."""

# Letters: b batch, t latent frames

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import torch

__all__ = ["Times", "TimesConfig", "draw_times", "logit_normal", "shifted"]

Level = TypeVar("Level", float, torch.Tensor)


@dataclass(frozen=True, kw_only=True)
class TimesConfig:
    """How sigmas are drawn.

    mean, deviation: of sigma's logit before the shift. shift: see `shifted`. per_frame: the share of clips in
    which every latent frame has its own sigma (diffusion forcing, Chen et al. 2024). known: the share of
    clips with some known frames; those have a sigma of at most known_sigma and weight 0 in the loss.
    """

    mean: float = 0.0
    deviation: float = 1.0
    shift: float = 1.0
    per_frame: float = 0.3
    known: float = 0.3
    known_sigma: float = 0.1


class Times(NamedTuple):
    """sigma: (b t) in 0..1. weight: (b t), 0 for known frames, else 1."""

    sigma: torch.Tensor
    weight: torch.Tensor


def shifted(sigma: Level, shift: float) -> Level:
    """Move a noise level, or a tensor of them, up (shift > 1): shift * sigma / (1 + (shift - 1) * sigma).

    Source: Esser et al. 2024 (Stable Diffusion 3), equation 23.
    """
    return shift * sigma / (1 + (shift - 1) * sigma)


def logit_normal(shape: tuple[int, ...], config: TimesConfig, generator: torch.Generator) -> torch.Tensor:
    """Sigmas in 0..1 whose logits are normal, then shifted; on the generator's device, float32.

    Source: Esser et al. 2024, equation 19.
    """
    normal = torch.randn(shape, generator=generator, device=generator.device)
    return shifted((config.mean + config.deviation * normal).sigmoid(), config.shift)


def draw_times(batch: int, frames: int, config: TimesConfig, generator: torch.Generator) -> Times:
    """Times of `batch` clips of `frames` latent frames. A still (frames = 1) has nothing known.

    Known frames are, by equal chance: the first ones, the last ones, both ends, or any.
    """
    device = generator.device
    own = torch.rand(batch, 1, generator=generator, device=device) < config.per_frame
    one = logit_normal((batch, 1), config, generator)
    each = logit_normal((batch, frames), config, generator)
    sigma = torch.where(own, each, one)  # b t
    given = known_frames(batch, frames, generator)
    given &= torch.rand(batch, 1, generator=generator, device=device) < config.known
    low = torch.rand(batch, 1, generator=generator, device=device) * config.known_sigma
    return Times(torch.where(given, low, sigma), (~given).float())


def known_frames(batch: int, frames: int, generator: torch.Generator) -> torch.Tensor:
    """Known frames, (b t) bool: some in every clip of more than one frame, never all."""
    device = generator.device
    if frames == 1:
        return torch.zeros(batch, 1, dtype=torch.bool, device=device)
    place = torch.arange(frames, device=device)
    head = torch.randint(1, frames, (batch, 1), generator=generator, device=device)
    tail = torch.randint(1, frames, (batch, 1), generator=generator, device=device)
    shuffled = torch.rand(batch, frames, generator=generator, device=device).argsort(dim=1)
    first, last = place < head, place >= frames - tail
    ends = (place < 1) | (place >= frames - 1) if frames > 2 else first
    kinds = torch.stack([first, last, ends.expand(batch, frames), shuffled < head])  # kinds b t
    kind = torch.randint(4, (batch,), generator=generator, device=device)
    return kinds[kind, torch.arange(batch, device=device)]
