"""What a codec is trained on. Videos are b c t h w in [-1, 1]."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["charbonnier", "edges", "halve", "psnr", "scale_penalty"]


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


def scale_penalty(latents: Tensor) -> Tensor:
    """(rms - 1)^2 per channel: holds every latent channel at unit scale, so that noise of a set size means the same.

    It stands where a VAE has its KL term: the posterior's deviation is fixed, so only its mean is left to bound.
    """
    rms = latents.float().square().mean(dim=(0, 2, 3, 4)).add(1e-8).sqrt()
    return (rms - 1).square().mean()


def halve(x: Tensor) -> Tensor:
    """b c t h w -> b c t h/2 w/2 by averages"""
    return F.avg_pool2d(x.transpose(1, 2).flatten(0, 1), 2).unflatten(0, (x.shape[0], -1)).transpose(1, 2)


def psnr(video: Tensor, reference: Tensor) -> Tensor:
    """Peak signal to noise in dB per clip (b,): over a clip's mean square error, peak to peak being 2."""
    error = (video.float() - reference.float()).square().flatten(1).mean(1)
    return 10 * torch.log10(4 / error.clamp(min=1e-10))
