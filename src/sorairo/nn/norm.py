"""Norms over the last dimension: float32 inside whatever the dtype around, in plain operations that fuse."""

from __future__ import annotations

import torch
from torch import nn

__all__ = ["LayerNorm", "RMSNorm", "layer_norm", "modulate"]


def layer_norm(x: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """x (... d) to mean 0 and deviation 1 over d, in float32, no parameters."""
    x = x.float()
    x = x - x.mean(dim=-1, keepdim=True)
    return x * torch.rsqrt(x.square().mean(dim=-1, keepdim=True) + eps)


def modulate(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    """layer_norm(x) * (1 + scale) + shift, in x's dtype; shift and scale broadcast to x (... d).

    Source: Peebles & Xie 2023, section 3.2 (adaptive layer norm).
    """
    return (layer_norm(x, eps) * (1 + scale) + shift).to(x.dtype)


class LayerNorm(nn.Module):
    """Layer norm with a learned scale and offset: (... d) -> (... d), same dtype."""

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (layer_norm(x, self.eps) * self.weight + self.bias).to(x.dtype)


class RMSNorm(nn.Module):
    """x / rms(x) * weight over the last dimension: (... d) -> (... d), same dtype.

    Source: Zhang & Sennrich 2019, equation 4.
    """

    def __init__(self, width: int, eps: float = 1e-6):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = x.float()
        y = y * torch.rsqrt(y.square().mean(dim=-1, keepdim=True) + self.eps)
        return (y * self.weight).to(x.dtype)
