"""Attention of several sequences that lie one behind another in one row: each attends to itself alone.

No mask is made: a mask costs the square of the whole row, and each sequence only its own. On CUDA one kernel takes all
of them (varlen); elsewhere neighbours of one length are attended to together. This file alone decides which.
"""

# Letters: k heads, n tokens of the whole row, c channels of a head, s sequences, l words

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from sorairo.nn.attention import attention

__all__ = ["AttendEach", "Sequences", "attend_each", "attend_to_own"]

AttendEach = Callable[..., torch.Tensor]


@dataclass(frozen=True)
class Sequences:
    """How a row of tokens is divided. counts: the tokens of each sequence, in order; some may be 0."""

    counts: tuple[int, ...]

    def runs(self) -> Iterator[tuple[slice, int, slice]]:
        """Neighbours of one length: (their numbers, that length, their tokens)."""
        number, token = 0, 0
        for count, same in itertools.groupby(self.counts):
            many = len(list(same))
            yield slice(number, number + many), count, slice(token, token + many * count)
            number, token = number + many, token + many * count


def attend_each(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sequences: Sequences, **more: Any
) -> torch.Tensor:
    """Every token attends to the tokens of its own sequence: (1 k n c) each -> (1 k n c).

    more: what `attention` takes besides. The same as `attention` on each sequence by itself.
    """
    if q.is_cuda and q.dtype in (torch.bfloat16, torch.float16):
        return _by_one_kernel(q, k, v, sequences)
    parts = []
    for numbers, _, tokens in sequences.runs():
        many = numbers.stop - numbers.start
        some = _rows(q[:, :, tokens], many), _rows(k[:, :, tokens], many), _rows(v[:, :, tokens], many)
        seen = attention(some[0], some[1], some[2], **more)  # s' k n' c
        parts.append(_row(seen))
    return torch.cat(parts, dim=2)


def attend_to_own(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: torch.Tensor | None, sequences: Sequences
) -> torch.Tensor:
    """Every token attends to what belongs to its sequence: q (1 k n c), k and v (s k l c), bias (s 1 1 l) or None.

    Words are few, so each run of sequences of one length is attended to in one product, on every device.
    """
    parts = []
    for numbers, count, tokens in sequences.runs():
        if not count:
            continue
        queries = _rows(q[:, :, tokens], numbers.stop - numbers.start)  # s' k n' c
        offset = None if bias is None else bias[numbers]
        parts.append(_row(attention(queries, k[numbers], v[numbers], offset)))
    return torch.cat(parts, dim=2)


def _by_one_kernel(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, sequences: Sequences) -> torch.Tensor:
    from torch.nn.attention.varlen import varlen_attn

    ends = torch.tensor([0, *itertools.accumulate(sequences.counts)], dtype=torch.int32, device=q.device)
    longest = max(sequences.counts)
    q, k, v = (x[0].transpose(0, 1).contiguous() for x in (q, k, v))  # n k c
    seen = varlen_attn(q, k, v, ends, ends, longest, longest)
    assert isinstance(seen, torch.Tensor)
    return seen.transpose(0, 1)[None]


def _rows(x: torch.Tensor, many: int) -> torch.Tensor:
    """(1 k n c) -> (s k n/s c)."""
    return x if many == 1 else x[0].unflatten(1, (many, -1)).transpose(0, 1)


def _row(x: torch.Tensor) -> torch.Tensor:
    """(s k n' c) -> (1 k n c)."""
    return x if len(x) == 1 else x.transpose(0, 1).flatten(1, 2)[None]
