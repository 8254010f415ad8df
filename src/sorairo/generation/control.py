"""VACE's control from a plan: known frames and regions, a clip to follow and reference pictures, as one tensor."""

# Letters: b batch (1), c channels, t h w latent grid, n frames of a window, H W pixels, r reference pictures

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F

from sorairo.codec.model import Codec
from sorairo.flow.windows import Window
from sorairo.generation.timeline import KnownLatents, Timeline
from sorairo.pixels import from_frames
from sorairo.types import Plan, Video

__all__ = ["control_tensor", "reference_latents", "started"]


def reference_latents(plan: Plan, codec: Codec, device: torch.device, dtype: torch.dtype) -> torch.Tensor:
    """Latents (1 c r h w) of a plan's reference pictures, the last one first, as VACE was trained.

    Each picture is a frame of its own, as large as fits, in the middle of a white one.
    """
    width, height = plan.size
    grid = (height // codec.config.space_factor, width // codec.config.space_factor)
    made = [torch.zeros(1, codec.config.z_dim, 0, *grid, device=device)]
    for picture in reversed(plan.references):
        pixels = on_white(picture, plan.size)  # 1 3 1 H W
        made.append(codec.encode(pixels.to(device, dtype)).float())
    return torch.cat(made, dim=2)


def on_white(picture: Video, size: tuple[int, int]) -> torch.Tensor:
    """A still as large as fits into a white frame of `size` (width, height): (1 3 1 H W) in -1..1."""
    width, height = size
    given = from_frames(picture.frames[:1])[:, :, 0]  # 1 3 h w
    scale = min(height / given.shape[2], width / given.shape[3])
    inner = (max(1, int(given.shape[2] * scale)), max(1, int(given.shape[3] * scale)))
    smaller = F.interpolate(given, size=inner, mode="bilinear", align_corners=False)
    top, left = (height - inner[0]) // 2, (width - inner[1]) // 2
    page = torch.ones(1, 3, 1, height, width)
    page[:, :, 0, top : top + inner[0], left : left + inner[1]] = smaller
    return page


def control_tensor(
    timeline: Timeline,
    window: Window,
    references: torch.Tensor,
    codec: Codec,
    dtype: torch.dtype,
    shown: Video | None = None,
) -> torch.Tensor:
    """Control (1 c' r+t h w) of a window: latents of what is kept, latents of the rest, and a mask of the rest.

    references: (1 c r h w). shown: the clip to follow, which is put where pixels are to be made; without it those are
    grey. The mask has the pixels of a latent cell as channels, and of the frames of a latent frame the one that is
    nearest to its middle: for the first group of frames the second, as in the authors' code.
    The same numbers as diffusers' WanVACEPipeline. Source: Jiang et al. 2025 (VACE), section 3.2.
    """
    frames, free = timeline.shown(window)
    grey, mask = torch.zeros(()), torch.from_numpy(free)  # n H W
    kept = torch.where(mask, grey, from_frames(frames))  # 1 3 n H W
    made = torch.where(mask, followed(shown, window, frames.shape), grey)
    device = references.device
    parts = [codec.encode(pixels.to(device, dtype)).float() for pixels in (kept, made)]
    cells = cells_of(mask.float(), codec.config.space_factor, parts[0].shape[2:]).to(device)  # 1 p t h w
    control = torch.cat([*parts, cells], dim=1)
    first = F.pad(references, (0, 0, 0, 0, 0, 0, 0, control.shape[1] - references.shape[1]))
    return torch.cat([first, control], dim=2)


def followed(shown: Video | None, window: Window, shape: Sequence[int]) -> torch.Tensor:
    """The clip to follow in a window (1 3 n H W), grey where it has no frames. shape: n H W 3."""
    pixels = torch.zeros(1, 3, *shape[:3])
    if shown is None:
        return pixels
    places = np.arange(window.start, window.stop)
    there = (places >= 0) & (places < len(shown))
    if there.any():
        pixels[:, :, torch.from_numpy(there)] = from_frames(shown.frames[places[there]])
    return pixels


def cells_of(mask: torch.Tensor, side: int, grid: Sequence[int]) -> torch.Tensor:
    """A mask (n H W) of pixels as (1 side*side t h w). grid: t h w."""
    n, height, width = mask.shape
    cells = mask.view(n, height // side, side, width // side, side)
    cells = cells.permute(2, 4, 0, 1, 3).flatten(0, 1)[None]  # 1 p n h w
    return F.interpolate(cells, size=tuple(grid), mode="nearest-exact")


def started(known: KnownLatents | None, top: float, references: torch.Tensor) -> KnownLatents | None:
    """What latents start from where that is no pure noise, which control cannot say: the clip of an edit.

    top: the level that the window is made from. Frames that are kept wholly are the control's work from there on.
    """
    if known is None or top >= 1:
        return None
    cap = torch.where(known.cap == 0, top, known.cap)
    return replace(
        known,
        latents=torch.cat([references, known.latents], dim=2),
        cap=F.pad(cap, (references.shape[2], 0), value=top),
        pinned=None,
    )
