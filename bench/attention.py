"""Attention of the training step, forward and backward: two products and a softmax beside the fused kernel.

    python bench/attention.py

Decides FEW and BLOCK in sorairo/nn/attention.py. The error is against float32.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
import torch.nn.functional as F

from sorairo.nn.attention import attention, in_blocks

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
