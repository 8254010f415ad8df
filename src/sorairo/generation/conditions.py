"""Inputs of image-to-video transformers from a plan's known frames: a mask, latents, and a CLIP's tokens."""

# Letters: b batch (1), c channels, t h w latent grid, f frames of the clip, m tokens of given pictures, d their width

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from sorairo.pixels import from_frames
from sorairo.types import Known, UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint

__all__ = ["condition_tensors", "frame_mask"]


def condition_tensors(
    model: Checkpoint, size: tuple[int, int], frames: int, known: Sequence[Known]
) -> dict[str, torch.Tensor]:
    """The keyword arguments `condition` (1 c' t h w) and `image` (1 m d) of a transformer that takes them, else none.

    size: (width, height); frames: of the whole clip. The codec sees the clip with its known frames in their places and
    grey between them. Raises UserError for frames that are to hold only in part. Source: Wan 2025, section 5.1; the
    same numbers as diffusers' WanImageToVideoPipeline.
    """
    config = model.transformer.config
    if not config.condition_channels:
        return {}
    if any(clip.hold != 1 for clip in known):
        raise UserError("This model keeps given frames exactly; it cannot start from them at some strength.")
    pixels = torch.zeros(1, 3, frames, size[1], size[0])  # 1 3 f H W
    given = torch.zeros(frames, dtype=torch.bool)
    for clip in known:
        place = slice(clip.at, clip.at + len(clip.video))
        pixels[0, :, place] = from_frames(clip.video.frames)[0]
        given[place] = True
    latents = model.codec.encode(pixels.to(model.device, model.dtype)).float()  # 1 c t h w
    mask = frame_mask(given, model.codec.config.time_factor).to(latents)  # 1 p t 1 1
    mask = mask.expand(-1, -1, -1, *latents.shape[-2:])
    told = {"condition": torch.cat([mask, latents], dim=1)}
    if config.image_dim:
        assert model.vision is not None, "Layout sees to it"
        pictures = [clip.video.frames[0] for clip in sorted(known, key=lambda clip: clip.at)]
        told["image"] = model.vision.tokens(np.stack(pictures))
    return told


def frame_mask(known: torch.Tensor, time_factor: int) -> torch.Tensor:
    """Which frames (f) are known, as a channel for each frame that a latent frame covers: (1 time_factor t 1 1).

    The first latent frame covers one frame alone, which stands in all of its channels.
    """
    rows = torch.cat([known[:1].expand(time_factor), known[1:]]).view(-1, time_factor)  # t p
    return rows.T[None, :, :, None, None].float()
