"""Orthogonalised updates for matrices: Newton-Schulz in bf16, batched over all matrices of one shape."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import torch
from torch import Tensor

from sorairo.training.parallel.processes import Team

__all__ = ["muon_directions", "orthogonalise"]

# Jordan et al. 2024: the quintic whose iterates bring every singular value near 1 (0.7 to 1.2) fastest from 0.
QUINTIC = (3.4445, -4.7750, 2.0315)


def orthogonalise(x: Tensor, steps: int = 5) -> Tensor:
    """The nearest semi-orthogonal matrix to each of x (n r c), r <= c, roughly: singular values 0.7 to 1.2."""
    a, b, c = QUINTIC
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    for _ in range(steps):
        gram = x @ x.mT  # n r r
        poly = torch.baddbmm(gram, gram, gram, beta=b, alpha=c)  # n r r
        x = torch.baddbmm(x, poly, x, beta=a)  # n r c
    return x


def _shared(x: Tensor, steps: int, team: Team) -> Tensor:
    """orthogonalise(x), each process for its share of the matrices: the sum of what all did, zeros elsewhere."""
    done = torch.zeros_like(x)
    rows = slice(len(x) * team.rank // team.size, len(x) * (team.rank + 1) // team.size)
    if len(x[rows]):
        done[rows] = orthogonalise(x[rows], steps)
    return team.sum(done)


def muon_directions(
    gradients: Sequence[Tensor],
    *,
    block: int = 0,
    steps: int = 5,
    dtype: torch.dtype = torch.bfloat16,
    team: Team | None = None,
) -> list[Tensor]:
    """One orthogonalised direction per gradient, entries of deviation 0.2, as Adam's updates have.

    So one learning rate serves both (Liu et al. 2025, Moonlight, equation 4).
    gradients: (out, in) or kernels (out, in, kt, kh, kw), read as (out, rest). block: rows (of the shorter side)
    orthogonalised together, 0 for all of them; blocks cost block / rows of the whole (Khaled et al. 2025, MuonBP).
    team: whose processes have the same gradients and share the work.
    """
    groups: dict[tuple[int, int], list[tuple[int, bool, Tensor]]] = defaultdict(list)
    for index, gradient in enumerate(gradients):
        matrix = gradient.reshape(len(gradient), -1)
        flip = matrix.shape[0] > matrix.shape[1]
        matrix = matrix.mT if flip else matrix  # r c, r <= c
        rows, columns = matrix.shape
        size = block if block and rows % block == 0 else rows
        groups[size, columns].append((index, flip, matrix.reshape(-1, size, columns)))
    result: list[Tensor] = list(gradients)
    for (_, columns), members in groups.items():
        stacked = torch.cat([blocks for _, _, blocks in members]).to(dtype)
        stacked = _shared(stacked, steps, team) if team else orthogonalise(stacked, steps)  # n r c
        gain = 0.2 * columns**0.5  # r orthonormal rows: entries' deviation is c^-1/2
        parts = stacked.split([len(blocks) for _, _, blocks in members])
        for (index, flip, _), part in zip(members, parts, strict=True):
            matrix = part.reshape(-1, columns).float() * gain
            matrix = matrix.mT if flip else matrix
            result[index] = matrix.reshape(gradients[index].shape)
    return result
