"""What a codec is trained on. Videos are b c t h w in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["charbonnier", "edges", "psnr"]


def charbonnier(error: Tensor, eps: float = 0.03) -> Tensor:
    """mean sqrt(error^2 + eps^2) - eps (Charbonnier et al. 1994): square near zero, absolute far from it.

    The square part asks for the mean, which PSNR rewards; the absolute part keeps edges from being blurred for it.
    """
    return (error.square() + eps**2).sqrt().mean() - eps


def edges(error: Tensor) -> Tensor:
    """Charbonnier of the error's differences along x and y: punishes blur at the rims of small things."""
    across = error[..., :, 1:] - error[..., :, :-1]
    down = error[..., 1:, :] - error[..., :-1, :]
    return charbonnier(across) + charbonnier(down)


def psnr(video: Tensor, reference: Tensor) -> Tensor:
    """Peak signal to noise in dB per clip (b,): over a clip's mean square error, peak to peak being 2."""
    error = (video.float() - reference.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))
