"""Attention of the training step, forward and backward: two products and a softmax beside the fused kernel.

    python bench/attention.py

Decides FEW and BLOCK in sorairo/nn/attention.py. The error is against float32.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from sorairo.nn.attention import attention, in_blocks
from sorairo.nn.quantised import PAIR_LEVELS, product, quantised

Attend = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


def step(attend: Attend, qkv: list[torch.Tensor]) -> torch.Tensor:
    for tensor in qkv:
        tensor.grad = None
    out = attend(*qkv)
    out.float().square().mean().backward()
    return out.detach().float()


@torch.inference_mode()
def inference() -> None:
    """Without gradients, in bf16: BLOCK queries at a time beside the fused kernel."""
    print(
        f"\n{'tokens':>6}{'heads':>6}{'blocks ms':>13}{'fused ms':>10}{'ratio':>7}{'mean error':>11}{'fused':>9}"
    )
    for tokens, heads, channels in ((768, 4, 64), (1152, 4, 64), (2550, 12, 128), (4096, 12, 128)):
        qkv = [torch.randn(1, heads, tokens, channels) for _ in range(3)]
        truth = F.scaled_dot_product_attention(*qkv)
        qkv = [tensor.bfloat16() for tensor in qkv]
        seconds, errors = [float("inf")] * 2, [0.0] * 2
        for _ in range(4):
            for index, attend in enumerate((in_blocks, F.scaled_dot_product_attention)):
                start = time.process_time()
                out = attend(*qkv)
                seconds[index] = min(seconds[index], time.process_time() - start)
                errors[index] = (out - truth).abs().mean().item()
        print(
            f"{tokens:6}{heads:6}{1000 * seconds[0]:13.1f}{1000 * seconds[1]:10.1f}{seconds[1] / seconds[0]:6.2f}x"
            f"{errors[0]:11.6f}{errors[1]:9.6f}"
        )


def in_eight_bits(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    """Attention of one head (tokens channels) by two products of int8: tokens of q and k, rows of the softmax
    and channels of v have a scale each."""
    q8, q_scale = quantised(q * q.shape[-1] ** -0.5)
    k8, k_scale = quantised(k, PAIR_LEVELS)
    v8, v_scale = quantised(v.T, PAIR_LEVELS)
    weights, scale = quantised((product(q8, k8).float() * q_scale * k_scale.T).softmax(-1))
    return product(weights, v8).float() * scale * v_scale.T


@torch.inference_mode()
def eight_bits() -> None:
    """One head in float32: int8 products beside the fused kernel, as they are and compiled."""
    print(f"\n{'tokens':>6}{'int8 ms':>10}{'compiled ms':>13}{'fused ms':>10}{'ratio':>7}{'PSNR dB':>9}")
    for tokens in (1152, 2552, 4096):
        qkv = [torch.randn(tokens, 128) for _ in range(3)]
        truth = F.scaled_dot_product_attention(*[one[None] for one in qkv])[0]
        ways = (in_eight_bits, torch.compile(in_eight_bits, dynamic=False), F.scaled_dot_product_attention)
        seconds, error = [float("inf")] * 3, 0.0
        for _ in range(5):
            for index, attend in enumerate(ways):
                given = [one[None, None] for one in qkv] if index == 2 else qkv
                start = time.process_time()
                out = attend(*given)
                seconds[index] = min(seconds[index], time.process_time() - start)
                if index == 1:
                    error = (out - truth).square().mean().item()
        peak = 20 * math.log10(truth.abs().max().item() / error**0.5)
        print(
            f"{tokens:6}{1000 * seconds[0]:10.1f}{1000 * seconds[1]:13.1f}{1000 * seconds[2]:10.1f}"
            f"{seconds[2] / min(seconds[:2]):6.2f}x{peak:9.1f}"
        )


def main() -> None:
    print(f"{'tokens':>6}{'products ms':>13}{'fused ms':>10}{'ratio':>7}{'max error':>11}{'fused':>9}")
    for tokens in (45, 80, 180, 320, 512, 1024):
        clips = max(1, 2048 // tokens)
        qkv = [torch.randn(clips, 6, tokens, 64).bfloat16().requires_grad_() for _ in range(3)]
        truth = F.scaled_dot_product_attention(*[tensor.float() for tensor in qkv])
        both: list[Attend] = [attention, F.scaled_dot_product_attention]
        seconds, errors = [float("inf")] * 2, [0.0] * 2
        for _ in range(8):
            for index, attend in enumerate(both):
                start = time.process_time()
                out = step(attend, qkv)
                seconds[index] = min(seconds[index], time.process_time() - start)
                errors[index] = (out - truth).abs().max().item()
        print(
            f"{tokens:6}{1000 * seconds[0]:13.1f}{1000 * seconds[1]:10.1f}{seconds[1] / seconds[0]:6.2f}x"
            f"{errors[0]:11.4f}{errors[1]:9.4f}"
        )


if __name__ == "__main__":
    main()
    inference()
    eight_bits()
