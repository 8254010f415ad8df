"""What codecs and generators do to a clip, imitated: the parser learns to read through it.

A person still sees a red ball in a clip that is a little blurred, has block noise, or shimmers; so should the parser.
Frames are t 3 h w in -0.5..0.5 throughout; nothing moves anything by more than a pixel, so that masks stay true.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["DAMAGES", "blend", "blocks", "blur", "damage", "fringe", "grain", "light", "resample", "shimmer"]

BLOCKS = ((4, 16), (2, 8), (1, 8))  # frames and pixels of the blocks that codecs see a clip in
GREY = (0.299, 0.587, 0.114)


def damage(frames: Tensor, rng: np.random.Generator, chance: float = 0.7) -> Tensor:
    """Frames with a random mixture of damages; with 1 - chance none at all."""
    if rng.random() > chance:
        return frames
    for harm, share in DAMAGES.items():
        if rng.random() < share:
            frames = harm(frames, rng)
    return frames


def blur(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """A Gaussian of 0.4 to 1.5 pixels."""
    sigma = float(rng.uniform(0.4, 1.5))
    reach = math.ceil(2.5 * sigma)
    line = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / sigma) ** 2)
    line = (line / line.sum()).expand(3, 1, 1, -1)
    frames = F.conv2d(F.pad(frames, (reach, reach, 0, 0), mode="replicate"), line, groups=3)
    return F.conv2d(F.pad(frames, (0, 0, reach, reach), mode="replicate"), line.mT, groups=3)


def resample(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Down to 50 to 80 percent and up again."""
    h, w = frames.shape[-2:]
    share = float(rng.uniform(0.5, 0.8))
    small = F.interpolate(
        frames,
        size=(round(h * share), round(w * share)),
        mode="bilinear",
        align_corners=False,
        antialias=True,
    )
    return F.interpolate(
        small, size=(h, w), mode="bicubic" if rng.random() < 0.5 else "bilinear", align_corners=False
    )


def blocks(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Each block of time and space keeps a part of its cosine transform: the low frequencies, or the large ones."""
    time, side = BLOCKS[int(rng.integers(len(BLOCKS)))]
    t, _, h, w = frames.shape
    top, left = (int(rng.integers(side)) for _ in range(2))
    padded = F.pad(frames, (left, -(left + w) % side, top, -(top + h) % side), mode="replicate")
    ahead = (-(t - 1)) % time  # a causal codec sees the first frame by itself
    padded = torch.cat(
        [padded[:1].expand(time - 1, -1, -1, -1), padded, padded[-1:].expand(ahead, -1, -1, -1)]
    )
    x = padded.unflatten(0, (-1, time)).unflatten(3, (-1, side)).unflatten(5, (-1, side))  # n i c y j x k
    a, b = cosines(time), cosines(side)
    x = torch.einsum("niyjxkc,ai,bj,dk->nabdyxc", x.permute(0, 1, 3, 4, 5, 6, 2), a, b, b)
    if rng.random() < 0.5:
        order = torch.arange(time)[:, None, None] / time * 0.7
        order = order + (torch.arange(side)[:, None] + torch.arange(side)) / side
        keep = (order <= float(rng.uniform(0.2, 1.0)))[..., None, None, None]
        x = x * keep
    else:
        step = float(rng.uniform(0.05, 0.35)) * math.sqrt(time * side * side) / 16
        x = torch.where(
            torch.arange(side * side * time).view(time, side, side, 1, 1, 1) == 0, x, x * (x.abs() > step)
        )
    x = torch.einsum("nabdyxc,ai,bj,dk->niyjxkc", x, a, b, b).permute(0, 1, 6, 2, 3, 4, 5)
    return (
        x.flatten(5, 6)
        .flatten(3, 4)
        .flatten(0, 1)[time - 1 : time - 1 + t, :, top : top + h, left : left + w]
    )


def cosines(n: int) -> Tensor:
    """The orthonormal cosine transform (n n), a frequency a row."""
    k = torch.arange(n)
    rows = torch.cos(math.pi / n * (k + 0.5) * k[:, None]) * math.sqrt(2 / n)
    rows[0] /= math.sqrt(2)
    return rows


def blend(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Each frame with up to a third of its neighbours in time."""
    share = float(rng.uniform(0.05, 0.33))
    before, after = torch.cat([frames[:1], frames[:-1]]), torch.cat([frames[1:], frames[-1:]])
    return (1 - share) * frames + share * (before if rng.random() < 0.5 else (before + after) / 2)


def grain(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Noise, every pixel for itself."""
    return frames + float(rng.uniform(0.005, 0.04)) * torch.from_numpy(
        rng.standard_normal(tuple(frames.shape), dtype=np.float32)
    )


def shimmer(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Soft spots that change from frame to frame, as decoders leave them in flat regions."""
    t, c, h, w = frames.shape
    side = int(rng.choice((4, 8, 16)))
    spots = torch.from_numpy(
        rng.standard_normal((t, c, -(-h // side) + 1, -(-w // side) + 1), dtype=np.float32)
    )
    spots = spots.mean(dim=1, keepdim=True) + 0.5 * spots
    spots = F.interpolate(spots, size=(h, w), mode="bilinear", align_corners=False)
    return frames + float(rng.uniform(0.005, 0.035)) * spots


def fringe(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Colour that is coarser than light, and a pixel beside it."""
    light_ = (frames * torch.tensor(GREY).view(3, 1, 1)).sum(dim=1, keepdim=True)
    tint = frames - light_
    h, w = frames.shape[-2:]
    share = float(rng.uniform(0.25, 0.6))
    tint = F.interpolate(tint, size=(max(int(h * share), 1), max(int(w * share), 1)), mode="area")
    tint = F.interpolate(tint, size=(h, w), mode="bilinear", align_corners=False)
    if rng.random() < 0.5:
        tint = tint.roll((int(rng.integers(-1, 2)), int(rng.integers(-1, 2))), dims=(2, 3))
    return light_ + tint


def light(frames: Tensor, rng: np.random.Generator) -> Tensor:
    """Brightness, contrast, saturation and a faint cast."""
    grey = (frames * torch.tensor(GREY).view(3, 1, 1)).sum(dim=1, keepdim=True)
    frames = grey + float(rng.uniform(0.8, 1.15)) * (frames - grey)
    cast = torch.from_numpy(rng.uniform(-0.015, 0.015, 3).astype(np.float32)).view(3, 1, 1)
    return frames * float(rng.uniform(0.88, 1.08)) + float(rng.uniform(-0.03, 0.03)) + cast


DAMAGES: dict[Callable[[Tensor, np.random.Generator], Tensor], float] = {
    light: 0.5,
    blend: 0.15,
    resample: 0.15,
    blocks: 0.3,
    blur: 0.35,
    fringe: 0.2,
    shimmer: 0.25,
    grain: 0.25,
}
