"""State maps: what is where in a clip, on the grid of its latents. The simulator knows; no captioner or segmenter does.

Legend: t h w frames, T H W latent grid, k kinds (shapes, then colours), n clips.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sorairo.worlds import WorldClip
from sorairo.worlds.palette import COLOURS, SHAPES

__all__ = ["KINDS_MAPPED", "state_map"]

KINDS_MAPPED = (*SHAPES, *COLOURS)


def state_map(clip: WorldClip, grid: tuple[int, int, int]) -> Tensor:
    """Coverage of every latent position by each shape and each colour: uint8 (k T H W), 255 where it is all of it.

    clip: with masks. grid: T H W of its latents; the first latent frame is of the first frame alone, as the codec
    is causal, and each of the others of as many frames as there are for it.
    """
    assert clip.masks is not None
    masks, (frames, height, width) = clip.masks, grid
    t, h, w = masks.shape
    covered = np.zeros((len(KINDS_MAPPED), t, height, width), dtype="f4")
    for number, body in enumerate(clip.state["objects"], start=1):
        here = (masks == number).reshape(t, height, h // height, width, w // width).mean((2, 4), dtype="f4")
        covered[KINDS_MAPPED.index(body["shape"])] += here
        covered[KINDS_MAPPED.index(body["colour"])] += here
    together = covered
    if frames > 1:
        rest = covered[:, 1:].reshape(len(covered), frames - 1, -1, height, width)
        together = np.concatenate([covered[:, :1], rest.mean(2)], axis=1)
    return torch.from_numpy((together.clip(0, 1) * 255).round().astype(np.uint8))
