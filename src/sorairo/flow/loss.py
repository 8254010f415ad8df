"""The flow-matching loss."""

from __future__ import annotations

import torch

from sorairo.flow.path import over, velocity_of

__all__ = ["velocity_loss"]


def velocity_loss(
    predicted: torch.Tensor, data: torch.Tensor, noise: torch.Tensor, weight: torch.Tensor | None = None
) -> torch.Tensor:
    """Mean of |predicted - (noise - data)|^2, a float32 scalar.

    predicted, data, noise: (b c t h w). weight: (b), (b t) or (b 1 t h w); the mean is over what has weight.
    Source: Lipman et al. 2023, equation 9.
    """
    error = (predicted.float() - velocity_of(data.float(), noise.float())).square()
    if weight is None:
        return error.mean()
    weight = weight.float()
    weighted = (error * (weight if weight.ndim == error.ndim else over(error, weight))).sum()
    return weighted / (weight.sum() * (error.numel() / weight.numel())).clamp_min(1.0)
