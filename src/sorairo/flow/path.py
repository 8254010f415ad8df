"""The straight path from data (sigma = 0) to noise (sigma = 1), and its facts.

x = (1 - sigma) * data + sigma * noise        velocity = dx/dsigma = noise - data
"""

# Letters: b batch, c channels, t h w latent grid

from __future__ import annotations

import torch

__all__ = ["data_at", "interpolate", "over", "towards", "velocity_of"]


def over(x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor | float:
    """sigma, one per clip (b) or per frame (b t), in a shape that multiplies x (b c t h w)."""
    if not isinstance(sigma, torch.Tensor) or sigma.ndim == 0:
        return sigma
    return sigma.view(sigma.shape[0], 1, -1, *[1] * (x.ndim - 3))  # b 1 t|1 1 1


def interpolate(data: torch.Tensor, noise: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
    """The point of the path at sigma: a number, (b), or (b t). data, noise: (b c t h w).

    Source: Liu et al. 2022 (rectified flow), equation 1, with time turned round.
    """
    sigma = over(data, sigma)
    return (1 - sigma) * data + sigma * noise


def velocity_of(data: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
    """What the model learns to predict: noise - data, the same all along the path."""
    return noise - data


def data_at(x: torch.Tensor, velocity: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
    """The data end of the straight line through x with this velocity."""
    return x - over(x, sigma) * velocity


def towards(
    x: torch.Tensor, data: torch.Tensor, sigma: torch.Tensor | float, least: float = 1e-3
) -> torch.Tensor:
    """The velocity of the straight line from `data` through x: what a model says that predicts data.

    Below `least` the line is taken to be that long, since a small error of the data would weigh ever more. Source: Li
    & He 2025 (arXiv 2511.13720), which trains with 0.05.
    """
    sigma = over(x, sigma)
    return (x - data) / (sigma.clamp_min(least) if isinstance(sigma, torch.Tensor) else max(sigma, least))
