"""The codec's norm over channels, read as rows of channels (what channels_last_3d is in memory).

The arithmetic is a free function of a 2-D tensor, so that one compiled kernel serves every place and size.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BLOCK", "ChannelRMSNorm", "NormSiLU", "compile_norms"]

# Wan divides by the length clamped to 1e-12, whose gradient at an all-zero position is 1e12. Here 1e-12 joins the mean
# square: equal to rounding for real activations, and a gradient of at most 1e6.
EPS = 1e-12

BLOCK = 1 << 17
"""Values that are normed together: half a megabyte in float32."""


def norm_rows(rows: Tensor, weight: Tensor) -> Tensor:
    """x / rms(x) * weight for each row (n c); statistics in fp32."""
    return F.rms_norm(rows.float(), rows.shape[-1:], weight.float(), EPS).to(rows.dtype)


def norm_silu_rows(rows: Tensor, weight: Tensor) -> Tensor:
    """SiLU of the above, rounded once."""
    return F.silu(F.rms_norm(rows.float(), rows.shape[-1:], weight.float(), EPS)).to(rows.dtype)


class ChannelRMSNorm(nn.Module):
    """x / rms(x over channels) * weight, position by position."""

    kernel: Callable[[Tensor, Tensor], Tensor] = staticmethod(norm_rows)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """b c t h w -> b c t h w, channels innermost in memory (a copy is made of anything else)"""
        y = x.movedim(1, -1)  # b t h w c
        rows = y.reshape(-1, y.shape[-1])
        made = self.kernel(rows, self.weight) if torch.is_grad_enabled() else self.in_blocks(rows)
        return made.view(y.shape).movedim(-1, 1)

    def in_blocks(self, rows: Tensor) -> Tensor:
        """All rows (n c), a cacheful after another: the float32 copies between never reach memory."""
        step = max(1, BLOCK // rows.shape[-1])
        if len(rows) <= step:
            return self.kernel(rows, self.weight)
        made = torch.empty_like(rows)
        for start in range(0, len(rows), step):
            made[start : start + step] = self.kernel(rows[start : start + step], self.weight)
        return made


class NormSiLU(ChannelRMSNorm):
    """The channel norm and SiLU in one."""

    kernel = staticmethod(norm_silu_rows)


def compile_norms(module: nn.Module) -> None:
    """Give every norm in `module` a compiled kernel: half a dozen small compilations, whatever the sizes."""
    kernels: dict[Callable[[Tensor, Tensor], Tensor], Callable[[Tensor, Tensor], Tensor]] = {
        function: any_length(torch.compile(function, dynamic=False))
        for function in (norm_rows, norm_silu_rows)
    }
    for part in module.modules():
        if isinstance(part, ChannelRMSNorm):
            part.kernel = kernels[type(part).kernel]


def any_length(compiled: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Compiled once for all numbers of rows, and once for each number of channels."""

    def kernel(rows: Tensor, weight: Tensor) -> Tensor:
        torch._dynamo.maybe_mark_dynamic(rows, 0)
        return compiled(rows, weight)

    return kernel
