"""The simulator as a teacher: what is where in a clip, learned from tokens in the middle of the Transformer.

Pictures align a transformer's features with a network that saw millions of photographs (REPA, Yu et al. 2024). A
simulated clip has better: the truth. A linear head reads shape and colour at every latent position from the tokens
of one block, through the noise, so the model must find early which words are about which place; the head is dropped
when training ends. The same maps say where the objects are, a few percent of a clip that hold most of its content.

Legend: b clips, t h w latent grid, k kinds (shapes, then colours), s tokens of a frame, d width, p patch side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sorairo.data.maps import KINDS_MAPPED
from sorairo.transformer.patches import from_patches
from sorairo.worlds.palette import SHAPES

__all__ = ["AlignmentConfig", "MapHead", "MapWatch", "MixedMapWatch", "object_weight"]

SURE, UNSURE = 0.7, 0.9  # sigmas between which the place of an object is lost in the noise


@dataclass(frozen=True, kw_only=True)
class AlignmentConfig:
    """block: whose tokens are read, from 0. weight: of the maps' cross-entropy beside the velocity's loss.

    objects: how much more an object's surroundings count in the velocity's loss than the rest of a clip does; see
    `object_weight` for what that costs.
    """

    block: int = 3
    weight: float = 0.3
    objects: float = 0.0


class MapHead(nn.Module):
    """Tokens (b t s d) -> the cross-entropy of what is at every latent position: nothing or a shape, and a colour."""

    def __init__(self, width: int, patch_side: int):
        super().__init__()
        self.side = patch_side
        self.project = nn.Linear(width, (len(KINDS_MAPPED) + 2) * patch_side**2)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(
        self, tokens: Tensor, there: Tensor | Sequence[Tensor], parts: Sequence[float] = ()
    ) -> Tensor:
        """tokens: (b t s d). there: coverage 0..1 (b k t h w). Returns a float32 scalar, in nats.

        Or tokens (1 1 n d) of clips behind one another, `there` (1 k t h w) of each, and how much each counts. It is
        one call for all of them: where weights are divided (FSDP), each call is an exchange between processes, whose
        rows hold different numbers of clips.
        """
        said = self.project(tokens)
        if isinstance(there, Tensor):
            return self._loss(said, there)
        frames = [(one.shape[2], one[0, 0, 0].numel() // self.side**2) for one in there]
        clips = said[0, 0].split([t * s for t, s in frames])
        each = [
            part * self._loss(clip.view(1, t, s, -1), one)
            for clip, (t, s), one, part in zip(clips, frames, there, parts, strict=True)
        ]
        return torch.stack(each).sum()

    def _loss(self, said: Tensor, there: Tensor) -> Tensor:
        logits = from_patches(said, self.side, there.shape[3] // self.side).float()
        cut = len(SHAPES) + 1
        loss = logits.new_zeros(())
        for scores, part in ((logits[:, :cut], there[:, : cut - 1]), (logits[:, cut:], there[:, cut - 1 :])):
            empty = (1 - part.sum(1, keepdim=True)).clamp_min(0)  # b 1 t h w
            loss = loss + F.cross_entropy(scores, torch.cat([empty, part], dim=1))
        return loss


@dataclass(kw_only=True)
class MapWatch:
    """Hands the tokens of `block` to the head, as a Transformer's watch. there: see MapHead. loss: what it gave."""

    block: int
    head: MapHead
    there: Tensor
    loss: Tensor | None = None

    def __call__(self, block: int, tokens: Tensor) -> None:
        if block == self.block:
            self.loss = self.head(tokens, self.there)


@dataclass(kw_only=True)
class MixedMapWatch:
    """The same for clips of mixed shapes, whose tokens (1 1 n d) are one row.

    there: (1 k t h w) of each. parts: how much each clip's loss counts in `loss`.
    """

    block: int
    head: MapHead
    there: Sequence[Tensor]
    parts: Sequence[float]
    loss: Tensor | None = None

    def __call__(self, block: int, tokens: Tensor) -> None:
        if block == self.block:
            self.loss = self.head(tokens, self.there, self.parts)


def object_weight(there: Tensor, sigma: Tensor, more: float) -> Tensor:
    """Weights of the velocity's loss (b 1 t h w): 1, and up to 1 + more in an object's surroundings.

    there: coverage 0..1 (b k t h w). sigma: (b t). Only at noise levels at which the object's place can be seen: there
    the weight is nearly a function of what the model sees, so what it should predict stays nearly the same mean; at
    higher ones it would teach the model to expect objects everywhere. Nearly: trained with 4 more, the default model
    made a second object in one clip of seven, until some hundred steps without it (docs/log.md).
    """
    seen = there[:, : len(SHAPES)].sum(1)  # b t h w
    around = F.max_pool2d((4 * seen).clamp_max(1), kernel_size=3, stride=1, padding=1)
    sure = ((UNSURE - sigma) / (UNSURE - SURE)).clamp(0, 1)  # b t
    return (1 + more * around * sure[..., None, None]).unsqueeze(1)
