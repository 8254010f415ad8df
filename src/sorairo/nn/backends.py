"""Attention by other kernels: all of them in one place, and none is used before its numbers were compared.

A kernel may give wrong numbers on one kind of device and right ones on another, in silence (SageAttention, issue 221).
"""

# Letters: b batch, k heads, n queries, m keys, c channels of a head

from __future__ import annotations

import math

import torch
import torch.nn.functional as F

from sorairo.nn.attention import Attend, Backend, in_blocks
from sorairo.types import UserError

__all__ = ["BACKENDS", "LEAST", "backend", "difference"]

LEAST = 38.0
"""Decibels from the reference that a kernel must reach, as int8 must."""
SHAPES = ((577, 577, 64), (130, 700, 128), (1024, 1024, 128))
"""(n, m, c) of what is compared: odd numbers, fewer queries than keys, and full blocks."""


def torch_own(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def flash(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    from flash_attn import flash_attn_func  # pyright: ignore

    across = (x.transpose(1, 2) for x in (q, k, v))  # b n k c
    return flash_attn_func(*across).transpose(1, 2)


def sage(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    from sageattention import sageattn  # pyright: ignore

    return sageattn(q, k, v, tensor_layout="HND", is_causal=False)


BACKENDS: dict[str, Attend] = {"torch": torch_own, "blocks": in_blocks, "flash": flash, "sage": sage}
PACKAGES = {"flash": "flash-attn", "sage": "sageattention"}


def backend(name: str, device: torch.device, dtype: torch.dtype) -> Backend:
    """The kernel of that name, compared on the device and in the dtype where it will be used.

    Raises UserError for an unknown name, a package that is missing, and a kernel that fails there or whose numbers are
    less than LEAST decibels from the reference.
    """
    if name not in BACKENDS:
        raise UserError(f"There is no attention {name!r}; choose auto or one of: {', '.join(BACKENDS)}.")
    try:
        worst = min(difference(BACKENDS[name], *shape, device, dtype) for shape in SHAPES)
    except ImportError as error:
        raise UserError(
            f"--attention {name} needs a package; get it with: pip install {PACKAGES.get(name, name)}"
        ) from error
    except (RuntimeError, ValueError, AssertionError) as error:
        raise UserError(f"--attention {name} does not work on {device} in {dtype}: {error!s:.200}") from error
    if not worst >= LEAST:
        raise UserError(
            f"--attention {name} gives wrong numbers on {device} ({worst:.0f} dB from the reference, at least"
            f" {LEAST:.0f} are needed); use --attention auto, or another version of it."
        )
    return Backend(name=name, attend=BACKENDS[name])


def difference(attend: Attend, n: int, m: int, c: int, device: torch.device, dtype: torch.dtype) -> float:
    """PSNR in decibels of a kernel against float64 on the CPU; -inf for numbers that are not finite.

    Keys have a large mean in one channel, as those of trained models have, which kernels of few bits stumble over.
    """
    numbers = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, 2, rows, c, generator=numbers) for rows in (n, m, m))
    k[..., 0] += 8
    given = [x.to(device, dtype) for x in (q, k, v)]
    exact = [x.cpu().double() for x in given]
    scores = exact[0] @ exact[1].transpose(-1, -2) / math.sqrt(c)
    reference = scores.softmax(dim=-1) @ exact[2]
    with torch.inference_mode():
        made = attend(*given).cpu().double()
    if made.shape != reference.shape or not bool(made.isfinite().all()):
        return -math.inf
    error = (made - reference).square().mean().clamp(min=1e-30)
    peak = reference.max() - reference.min()
    return float(20 * torch.log10(peak) - 10 * torch.log10(error))
