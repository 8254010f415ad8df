"""Weights divided among processes: FSDP2 for each block and for the rest, and what the optimizer needs to know of it.

A sharded parameter is a DTensor whose rows are divided as torch.chunk divides them; the last processes may have none.
Everything elementwise works on the local rows. Source: Zhao et al. 2023 (arXiv 2304.11277).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor

from sorairo.nn.together import others_present

__all__ = ["Piece", "Shards", "blank_copy", "cast", "local", "shard"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Rows start:stop of a tensor that has `rows` of them."""

    start: int
    stop: int
    rows: int


def shard(network: nn.Module, mesh: DeviceMesh) -> None:
    """Divide the network's parameters over the last dimension of `mesh`, in place; a first dimension holds copies.

    Each block is gathered when it computes and let go after it; gradients come out as means over all processes, summed
    in float32.
    """
    policy = MixedPrecisionPolicy(reduce_dtype=torch.float32, cast_forward_inputs=False)
    blocks = getattr(network, "blocks", None)
    if isinstance(blocks, nn.ModuleList):
        for block in blocks:
            fully_shard(block, mesh=mesh, mp_policy=policy, reshard_after_forward=True)
    fully_shard(network, mesh=mesh, mp_policy=policy, reshard_after_forward=True)


def cast(network: nn.Module, dtype: torch.dtype) -> None:
    """Turn the trained parameters of a sharded network into `dtype`, before its first use."""

    def turned(tensor: Tensor) -> Tensor:
        return tensor.to(dtype) if tensor.requires_grad else tensor

    network._apply(turned)


def local(tensor: Tensor) -> Tensor:
    """The rows that are here, in the tensor's own memory; the tensor itself where it is whole."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def blank_copy(network: nn.Module) -> nn.Module:
    """A copy of a network whose parameters and buffers have no memory (torch's meta device)."""
    tensors = [*network.parameters(), *network.buffers()]
    empty = {id(tensor): _without_memory(tensor) for tensor in tensors}
    return copy.deepcopy(network, empty)


def _without_memory(tensor: Tensor) -> Tensor:
    blank = torch.empty_like(tensor, device="meta")
    return nn.Parameter(blank, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else blank


class Shards:
    """Which of the named parameters are divided, into which rows, and their exchange."""

    def __init__(self, parameters: Mapping[str, nn.Parameter]) -> None:
        divided = {name: p for name, p in parameters.items() if isinstance(p, DTensor)}
        self.shapes = {name: p.shape for name, p in divided.items()}
        self.group: ProcessGroup | None = None
        self.rank, self.of, self.copy = 0, 1, 0
        for p in divided.values():
            mesh = p.device_mesh
            self.group = mesh.get_group(mesh.ndim - 1)
            self.rank, self.of = distributed.get_rank(self.group), distributed.get_world_size(self.group)
            self.copy = mesh.get_local_rank(0) if mesh.ndim > 1 else 0

    def __contains__(self, name: str) -> bool:
        return name in self.shapes

    def counts(self, name: str) -> list[int]:
        """How many rows of a parameter each process has."""
        rows = self.shapes[name][0]
        chunk = -(-rows // self.of)
        return [max(0, min(rows, (index + 1) * chunk) - index * chunk) for index in range(self.of)]

    def piece(self, name: str) -> Piece:
        """Which rows of a parameter are here."""
        counts = self.counts(name)
        start = sum(counts[: self.rank])
        return Piece(start=start, stop=start + counts[self.rank], rows=self.shapes[name][0])

    def sum(self, number: Tensor) -> Tensor:
        """The sum of everyone's numbers, in their own memory."""
        with others_present():
            distributed.all_reduce(number, group=self.group)
        return number

    def whole(self, name: str, rows: Tensor) -> Tensor:
        """The whole tensor of everyone's rows of a parameter (of its masters, say); all processes must call it."""
        counts, shape = self.counts(name), self.shapes[name]
        padded = rows.new_zeros(max(counts), *shape[1:])
        padded[: len(rows)] = rows
        everyone = [torch.empty_like(padded) for _ in counts]
        with others_present():
            distributed.all_gather(everyone, padded, group=self.group)
        return torch.cat([part[:count] for part, count in zip(everyone, counts, strict=True)])

    def to_owners(self, names: list[str], rows: list[Tensor]) -> list[Tensor]:
        """Matrices of one shape are dealt out: each process gets the whole of those that are its own (`owned`)."""
        if not names:
            return []
        counts, rest = self.counts(names[0]), self.shapes[names[0]][1:]
        width = rest.numel()
        deal = [[rows[index] for index in self._dealt(names, to)] for to in range(self.of)]
        sent = [sum(part.numel() for part in parts) for parts in deal]
        mine = len(self._dealt(names, self.rank))
        got = [mine * count * width for count in counts]
        flat = self._trade([part for parts in deal for part in parts], sent, got, like=rows[0])
        pieces = [
            piece.view(mine, count, *rest) for piece, count in zip(flat.split(got), counts, strict=True)
        ]
        return list(torch.cat(pieces, dim=1).unbind(0))

    def from_owners(self, names: list[str], wholes: list[Tensor], like: Tensor) -> list[Tensor]:
        """The inverse of to_owners: each owner's matrices in, everyone's rows of all of them out."""
        if not names:
            return []
        counts, rest = self.counts(names[0]), self.shapes[names[0]][1:]
        width, here = rest.numel(), counts[self.rank]
        parts = [whole.split(counts)[to] for to in range(self.of) for whole in wholes]
        sent = [len(wholes) * count * width for count in counts]
        owned = [self._dealt(names, owner) for owner in range(self.of)]
        got = [len(theirs) * here * width for theirs in owned]
        flat = self._trade(parts, sent, got, like=like)
        result: list[Tensor] = [like] * len(names)
        for theirs, piece in zip(owned, flat.split(got), strict=True):
            for index, part in zip(theirs, piece.view(len(theirs), here, *rest), strict=True):
                result[index] = part
        return result

    def groups(self, names: list[str]) -> Iterator[list[str]]:
        """The names, in lists of one shape."""
        for shape in dict.fromkeys(self.shapes[name] for name in names):
            yield [name for name in names if self.shapes[name] == shape]

    def _dealt(self, names: list[str], to: int) -> range:
        return range(to, len(names), self.of)

    def _trade(self, parts: list[Tensor], sent: list[int], got: list[int], like: Tensor) -> Tensor:
        flat = torch.cat([part.flatten() for part in parts]) if parts else like.new_empty(0)
        out = like.new_empty(sum(got))
        with others_present():
            distributed.all_to_all_single(out, flat.contiguous(), got, sent, group=self.group)
        return out
