"""Attention as one function; the shape decides how it is computed, never what it computes."""

# Letters: b batch, k heads, n queries, m keys, c channels of a head

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

__all__ = ["FEW", "attention"]

# Up to this many scores a head (n * m), two products and a softmax beat the fused kernel on a CPU, whose backward is
# nearly half of a training step at 80 tokens: 5 times at 45 tokens, 1.1 at 320 (bench/attention.py); compiled, 1.5
# there and 1.25 at 576.
FEW = 640 * 640


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None = None
) -> torch.Tensor:
    """softmax(q k^T / sqrt(c) + bias) v, the softmax in float32.

    q: (b k n c). k, v: (b k m c). bias: added to the scores, broadcasts to (b k n m); -inf hides a key, log(x) counts
    it x times; for few keys, such as words. Returns (b k n c) in q's dtype.
    Source: Vaswani et al. 2017, equation 1.
    """
    few = q.device.type == "cpu" and q.shape[-2] * k.shape[-2] <= FEW
    if bias is None and not few:
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q @ k.transpose(-1, -2)).float() * (1 / math.sqrt(q.shape[-1]))  # b k n m
    if bias is not None:  # the fused kernel would round it to q's dtype: in bf16, log(90) is off by 1%
        scores = scores + bias
    return scores.softmax(dim=-1).to(v.dtype) @ v  # b k n c
