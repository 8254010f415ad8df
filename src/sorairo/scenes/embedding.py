"""A scene -> what is added to the tokens of a picture's transformer."""

# Letters: n b clips, m maps and channels of the sketch, t h w latent grid, s positions of a frame's patches, d width

from __future__ import annotations

import torch
from torch import Tensor, nn

from sorairo.codec.latent_space import LatentSpace
from sorairo.scenes.maps import MAPS, scene_maps
from sorairo.scenes.sketch import sketch
from sorairo.scenes.tracks import KINDS, Tracks
from sorairo.transformer.patches import to_patches

__all__ = ["SceneEmbedding"]

LOUD = 2.0  # by which maps are multiplied, so that their variance is near that of latents
CLEAR = 5.0  # and the sketch's latents, which would be learnt last: what they add to is loud and has nearly its form


class SceneEmbedding(nn.Module):
    """Maps and the sketch of a scene -> (b t s d): one product over each patch, and zero where nothing is.

    The sketch is seen as latents, so that an outline is told in the numbers that the transformer makes outlines of. A
    clip without a scene is what the transformer makes of it alone. side: latent positions along a patch's side. space:
    the components of the picture's latents; they do not learn.
    """

    def __init__(self, width: int, side: int, space: LatentSpace):
        super().__init__()
        self.side = side
        self.space = space
        self.embed = nn.Linear((MAPS + space.still.shape[1]) * side * side, width, bias=False)
        nn.init.zeros_(self.embed.weight)

    @torch.no_grad()
    def look(self, tracks: Tracks, grid: tuple[int, int]) -> Tensor:
        """What `forward` is given of a scene: its maps, then the latents of its sketch (n m t h w). grid: h w."""
        factor = self.space.space_factor
        drawn = sketch(tracks, (grid[0] * factor, grid[1] * factor), self.space.time_factor)
        latents = self.space.encode(drawn.to(self.space.mean)).float().cpu()
        return torch.cat([LOUD * scene_maps(tracks, grid), CLEAR * latents], 1)

    @staticmethod
    def near(seen: Tensor) -> Tensor:
        """How near each position is to an object, 0 to 1: (n t h w)."""
        return seen[:, len(KINDS)] / LOUD

    def forward(self, seen: Tensor) -> Tensor:
        weight = self.embed.weight
        return self.embed(to_patches(seen, self.side).to(weight.device, weight.dtype))
