"""Attention as one function; the shape decides how it is computed, never what it computes."""

# Letters: b batch, k heads, n queries, m keys, c channels of a head

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F

__all__ = ["BLOCK", "FEW", "Attend", "Backend", "attention", "in_blocks"]

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class Backend:
    """A kernel that was chosen by name (nn/backends.py): it attends wherever there is no bias, nothing is to be
    learned, and tokens are not few."""

    name: str
    attend: Attend

    def __call__(self, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return self.attend(q, k, v)


# Up to this many scores a head (n * m), two products and a softmax beat the fused kernel on a CPU, whose backward is
# nearly half of a training step at 80 tokens: 5 times at 45 tokens, 1.1 at 320 (bench/attention.py); compiled, 1.5
# there and 1.25 at 576.
FEW = 640 * 640

# Queries that are multiplied at once where there are more and nothing is to be learned: their scores stay in the
# processor's cache. In bf16, whose products are twice those of the fused kernel, 1.8 times as fast at 2,550 tokens
# (bench/attention.py); in float32 the fused kernel is the faster one.
BLOCK = 512


def in_blocks(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """attention() without a bias and without gradients, one head and BLOCK queries at a time. Scores are rounded to q's
    dtype once, after scaling; the softmax is in float32 inside."""
    scale = 1 / math.sqrt(q.shape[-1])
    out = torch.empty_like(q)
    none = q.new_empty(1)
    for sample, keys, values, into in zip(q, k, v, out, strict=True):  # k n c each
        for head in range(len(sample)):
            across = keys[head].T  # c m
            for start in range(0, sample.shape[1], BLOCK):
                block = slice(start, start + BLOCK)
                scores = torch.addmm(none, sample[head, block], across, beta=0, alpha=scale)  # n m
                torch.mm(scores.softmax(dim=-1), values[head], out=into[head, block])
    return out


def attention(
    q: torch.Tensor,
    k: torch.Tensor,
    v: torch.Tensor,
    bias: torch.Tensor | None = None,
    blocks: Attend = in_blocks,
) -> torch.Tensor:
    """softmax(q k^T / sqrt(c) + bias) v, the softmax in float32.

    q: (b k n c). k, v: (b k m c). bias: added to the scores, broadcasts to (b k n m); -inf hides a key, log(x) counts
    it x times; for few keys, such as words. blocks: what attends where there are many queries and nothing is to be
    learned, in bf16 on a CPU, or a Backend, on any device; other than `in_blocks` too where a compiler would unroll
    that. Returns (b k n c) in q's dtype.
    Source: Vaswani et al. 2017, equation 1.
    """
    few = q.device.type == "cpu" and q.shape[-2] * k.shape[-2] <= FEW
    if bias is None and not few:
        if isinstance(blocks, Backend) and not torch.is_grad_enabled():
            return blocks(q, k, v)
        if q.device.type == "cpu" and q.dtype == torch.bfloat16 and not torch.is_grad_enabled():
            return blocks(q, k, v)
        return F.scaled_dot_product_attention(q, k, v)
    scores = (q @ k.transpose(-1, -2)).float() * (1 / math.sqrt(q.shape[-1]))  # b k n m
    if bias is not None:  # the fused kernel would round it to q's dtype: in bf16, log(90) is off by 1%
        scores = scores + bias
    return scores.softmax(dim=-1).to(v.dtype) @ v  # b k n c
