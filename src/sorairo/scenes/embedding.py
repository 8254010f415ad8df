"""Maps of a scene -> what is added to the tokens of a picture's transformer."""

# Letters: b batch, m kinds, t h w latent grid, s positions of a frame's patches, d width

from __future__ import annotations

from torch import Tensor, nn

from sorairo.scenes.maps import MAPS
from sorairo.transformer.patches import to_patches

__all__ = ["SceneEmbedding"]

LOUD = 2.0  # by which maps are multiplied, so that their variance is near that of latents


class SceneEmbedding(nn.Module):
    """Maps (b m t h w) of a scene -> (b t s d): one product over each patch, and zero where nothing is.

    So a clip without a scene is what the transformer makes of it alone. side: latent positions along a patch's side.
    """

    def __init__(self, width: int, side: int):
        super().__init__()
        self.side = side
        self.embed = nn.Linear(MAPS * side * side, width, bias=False)
        nn.init.zeros_(self.embed.weight)

    def forward(self, maps: Tensor) -> Tensor:
        weight = self.embed.weight
        return self.embed((LOUD * to_patches(maps, self.side)).to(weight.device, weight.dtype))
