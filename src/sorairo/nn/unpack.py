"""Weights as GGUF files pack them -> numbers. Each function is one form: blocks of bytes (n bytes) -> values (n block).

Every form is a float16 scale times small integers, K forms with a second, 4- or 6-bit scale for each 16 or 32 values.
Source: github.com/ggml-org/llama.cpp, gguf-py/gguf/quants.py; equal to it in every bit of float32.
"""

# Letters: n blocks; a block holds 32 values, of the K forms 256

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

__all__ = ["FORMS", "Form", "unpack"]

CHUNK = 1 << 22  # values that are unpacked at once, so that float32 copies stay small


def unpack(packed: torch.Tensor, form: str, dtype: torch.dtype) -> torch.Tensor:
    """Rows of packed bytes (r bytes) -> values (r i), computed in float32 and rounded once to dtype."""
    values, size, read = FORMS[form]
    count, width = packed.shape
    inputs = width // size * values
    rows = count if torch.compiler.is_compiling() else max(1, CHUNK // inputs)
    if rows >= count:
        return read(packed.reshape(-1, size)).view(count, inputs).to(dtype)
    made = torch.empty(count, inputs, dtype=dtype, device=packed.device)
    for start in range(0, count, rows):
        part = packed[start : start + rows]
        made[start : start + rows] = read(part.reshape(-1, size)).view(len(part), inputs)
    return made


def half(blocks: torch.Tensor, start: int) -> torch.Tensor:
    """The float16 at a byte of each block: (n 1) float32."""
    return blocks[:, start : start + 2].contiguous().view(torch.float16).float()


def fields(packed: torch.Tensor, width: int, group: int) -> torch.Tensor:
    """Bytes (n m), in groups -> bit fields of a width, the lowest first: (n m/group 8/width group)."""
    shifts = torch.arange(0, 8, width, dtype=torch.uint8, device=packed.device)[:, None]
    return (packed.reshape(len(packed), -1, 1, group) >> shifts) & ((1 << width) - 1)


def bits32(packed: torch.Tensor) -> torch.Tensor:
    """Four bytes a block -> their 32 bits, the lowest first: (n 32)."""
    shifts = torch.arange(8, dtype=torch.uint8, device=packed.device)
    return ((packed[:, :, None] >> shifts) & 1).flatten(1)


def nibbles(packed: torch.Tensor) -> torch.Tensor:
    """16 bytes a block -> 32 numbers of 4 bits: the low halves, then the high ones."""
    return fields(packed, 4, 16).flatten(1)


def q4_0(blocks: torch.Tensor) -> torch.Tensor:
    return half(blocks, 0) * (nibbles(blocks[:, 2:]).float() - 8)


def q4_1(blocks: torch.Tensor) -> torch.Tensor:
    return half(blocks, 0) * nibbles(blocks[:, 4:]).float() + half(blocks, 2)


def q5_0(blocks: torch.Tensor) -> torch.Tensor:
    five = nibbles(blocks[:, 6:]) | (bits32(blocks[:, 2:6]) << 4)
    return half(blocks, 0) * (five.float() - 16)


def q5_1(blocks: torch.Tensor) -> torch.Tensor:
    five = nibbles(blocks[:, 8:]) | (bits32(blocks[:, 4:8]) << 4)
    return half(blocks, 0) * five.float() + half(blocks, 2)


def q8_0(blocks: torch.Tensor) -> torch.Tensor:
    return half(blocks, 0) * blocks[:, 2:].contiguous().view(torch.int8).float()


def q2_k(blocks: torch.Tensor) -> torch.Tensor:
    scales, quants = blocks[:, :16], blocks[:, 16:80]
    scale = half(blocks, 80) * (scales & 15).float()  # n 16
    least = half(blocks, 82) * (scales >> 4).float()
    two = fields(quants, 2, 32).reshape(-1, 16, 16).float()
    return (scale[:, :, None] * two - least[:, :, None]).flatten(1)


def q3_k(blocks: torch.Tensor) -> torch.Tensor:
    mask, quants, packed = blocks[:, :32], blocks[:, 32:96], blocks[:, 96:108]
    low = fields(packed[:, :8], 4, 8).reshape(-1, 16)
    high = fields(packed[:, 8:], 2, 4).reshape(-1, 16)
    scale = half(blocks, 108) * ((low | (high << 4)).float() - 32)  # n 16
    two = fields(quants, 2, 32).reshape(-1, 16, 16).float()
    absent = (fields(mask, 1, 32).reshape(-1, 16, 16) ^ 1).float()
    return (scale[:, :, None] * (two - 4 * absent)).flatten(1)


def k_scales(packed: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Twelve bytes a block -> eight scales and eight offsets of 6 bits: (n 8) each."""
    low, middle, both = packed.reshape(-1, 3, 4).unbind(1)
    scale = torch.cat([low & 63, (both & 15) | ((low >> 2) & 48)], dim=1)
    least = torch.cat([middle & 63, (both >> 4) | ((middle >> 2) & 48)], dim=1)
    return scale.float(), least.float()


def q4_k(blocks: torch.Tensor) -> torch.Tensor:
    scale, least = k_scales(blocks[:, 4:16])
    four = fields(blocks[:, 16:], 4, 32).reshape(-1, 8, 32).float()
    return _scaled(blocks, scale, least, four)


def q5_k(blocks: torch.Tensor) -> torch.Tensor:
    scale, least = k_scales(blocks[:, 4:16])
    high = fields(blocks[:, 16:48], 1, 32).reshape(-1, 8, 32)
    low = fields(blocks[:, 48:], 4, 32).reshape(-1, 8, 32)
    return _scaled(blocks, scale, least, (low | (high << 4)).float())


def _scaled(
    blocks: torch.Tensor, scale: torch.Tensor, least: torch.Tensor, values: torch.Tensor
) -> torch.Tensor:
    """scale * values - least, (n 8 32) flattened, each 32 with their own."""
    scale, least = half(blocks, 0) * scale, half(blocks, 2) * least
    return (scale[:, :, None] * values - least[:, :, None]).flatten(1)


def q6_k(blocks: torch.Tensor) -> torch.Tensor:
    low = fields(blocks[:, :128], 4, 64).reshape(-1, 8, 32)
    high = fields(blocks[:, 128:192], 2, 32).reshape(-1, 8, 32)
    scale = half(blocks, 208) * blocks[:, 192:208].contiguous().view(torch.int8).float()  # n 16
    six = (low | (high << 4)).float() - 32
    return (scale[:, :, None] * six.reshape(-1, 16, 16)).flatten(1)


class Form(NamedTuple):
    """values, size: how many numbers a block holds, and in how many bytes."""

    values: int
    size: int
    read: Callable[[torch.Tensor], torch.Tensor]


FORMS = {
    "Q4_0": Form(32, 18, q4_0),
    "Q4_1": Form(32, 20, q4_1),
    "Q5_0": Form(32, 22, q5_0),
    "Q5_1": Form(32, 24, q5_1),
    "Q8_0": Form(32, 34, q8_0),
    "Q2_K": Form(256, 84, q2_k),
    "Q3_K": Form(256, 110, q3_k),
    "Q4_K": Form(256, 144, q4_k),
    "Q5_K": Form(256, 176, q5_k),
    "Q6_K": Form(256, 210, q6_k),
}
