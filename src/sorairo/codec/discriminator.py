"""What tells real clips from decoded ones, so that a decoder can learn detail that no mean has; it is never shipped.

Videos are b c t h w in [-1, 1]; p: patches, one logit each.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

__all__ = ["Discriminator", "fooling", "telling_apart"]


class Discriminator(nn.Module):
    """Clips (b 3 t h w) -> a logit for every patch (b 1 t h' w'), high where it looks real.

    Source: the patches of Isola et al. 2017 (pix2pix, section 3.2.2) as in VQGAN (Esser et al. 2021), in three
    dimensions; a norm over groups of channels, so that clips do not judge one another.
    """

    def __init__(self, widths: Sequence[int] = (32, 64, 96)) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for index, width in enumerate(widths):
            layers.append(nn.Conv3d(before, width, 3, stride=(1, 2, 2), padding=1))
            layers += [nn.GroupNorm(8, width)] if index else []
            layers.append(nn.SiLU())
            before = width
        self.body = nn.Sequential(*layers)
        self.head = nn.Conv3d(before, 1, 3, padding=1)

    def forward(self, video: Tensor) -> Tensor:
        x = video.to(self.head.weight.dtype, memory_format=torch.channels_last_3d)
        return self.head(self.body(x)).float()


def telling_apart(judge: Discriminator, real: Tensor, made: Tensor) -> Tensor:
    """What the judge minimises: the hinge loss (Lim & Ye 2017), nothing once it is sure by a margin of 1."""
    scores = judge(torch.cat([real, made.detach()])).flatten(1)  # 2b p
    return (F.relu(1 - scores[: len(real)]).mean() + F.relu(1 + scores[len(real) :]).mean()) / 2


def fooling(judge: Discriminator, made: Tensor) -> Tensor:
    """What the decoder minimises: minus the judge's logits, whose own weights get no gradient of it."""
    fixed = {name: p.detach() for name, p in judge.named_parameters()}
    return -functional_call(judge, fixed, (made,)).mean()
