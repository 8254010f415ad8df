"""Low-rank updates of weights (LoRA): merged into them, or computed beside them and taken away again.

W' = W + weight * scale * up @ down        Source: Hu et al. 2021 (arXiv 2106.09685), equation 3.
"""

# Letters: o outputs, i inputs, r rank

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.types import UserError

__all__ = [
    "Beside",
    "Change",
    "Changes",
    "Kronecker",
    "LowRank",
    "Merged",
    "Product",
    "Weighted",
    "attach",
    "full",
    "merge",
]


class LowRank(NamedTuple):
    """A change scale * up @ down of a weight (o i). down: (r i). up: (o r)."""

    down: torch.Tensor
    up: torch.Tensor
    scale: float = 1.0

    @property
    def shape(self) -> torch.Size:
        return torch.Size((self.up.shape[0], self.down.shape[1]))


class Kronecker(NamedTuple):
    """A change scale * left (x) right of a weight (o i): every number of left (a c) times right (o/a i/c). LoKr.

    Source: Yeh et al. 2023 (LyCORIS, arXiv 2309.14859), section 3.3.
    """

    left: torch.Tensor
    right: torch.Tensor
    scale: float = 1.0

    @property
    def shape(self) -> torch.Size:
        (a, c), (b, d) = self.left.shape, self.right.shape
        return torch.Size((a * b, c * d))


class Product(NamedTuple):
    """A change scale * (up1 @ down1) * (up2 @ down2), number by number. LoHa.

    Source: Hyeon-Woo et al. 2022 (FedPara, arXiv 2108.06098), proposition 2.
    """

    first: LowRank
    second: LowRank
    scale: float = 1.0

    @property
    def shape(self) -> torch.Size:
        return self.first.shape


Change = LowRank | Kronecker | Product | torch.Tensor  # a tensor is added as it is
Changes = Mapping[str, Change]  # by the name of the parameter
Weighted = Sequence[tuple[Changes, float]]  # several, each with how much of it is wanted


def full(change: Change, device: torch.device | str = "cpu") -> torch.Tensor:
    """What is added to the parameter, float32."""
    if isinstance(change, torch.Tensor):
        return change.to(device, torch.float32)
    if isinstance(change, Kronecker):
        left, right = (factor.to(device, torch.float32).contiguous() for factor in change[:2])
        return change.scale * torch.kron(left, right)
    if isinstance(change, Product):
        return change.scale * full(change.first, device) * full(change.second, device)
    down, up = (factor.to(device, torch.float32) for factor in (change.down, change.up))
    return change.scale * (up @ down)


class Merged:
    """A merge that can be undone to the bit: the parameters as they were are kept, those that were changed only."""

    def __init__(self, pairs: list[tuple[nn.Parameter, torch.Tensor | None, torch.Tensor]]):
        self._pairs = pairs  # parameter, what it was, what it is now

    def undo(self) -> None:
        """Put the weights back. Raises UserError where they were not kept, or were changed again since."""
        for parameter, before, now in self._pairs:
            if before is None:
                raise UserError(
                    "The weights from before the merge were not kept, and subtracting rounds; load the model again."
                )
            if parameter.data_ptr() != now.data_ptr():
                raise UserError(
                    "The weights were changed again after this merge; undo the later change first."
                )
        for parameter, before, _ in self._pairs:
            assert before is not None
            parameter.data = before
        self._pairs = []


@torch.no_grad()
def merge(module: nn.Module, loras: Weighted, *, keep: bool = True) -> Merged:
    """Add changes to a module's parameters: summed in float32, rounded once to each parameter's dtype.

    keep: hold the parameters as they were, so that undo() is exact (they cost memory, unless they lie in a file).
    The result does not depend on how the changes are spread over `loras`, but for rounding in float32.
    """
    pairs = []
    for name, terms in _by_parameter(loras):
        parameter = module.get_parameter(name)
        total = parameter.float()
        for change, weight in terms:
            total = total + weight * full(change, parameter.device).view_as(parameter)
        before = parameter.data if keep else None
        # a convolution keeps the order in which its numbers lie
        parameter.data = torch.empty_like(parameter.data).copy_(total)
        pairs.append((parameter, before, parameter.data))
    return Merged(pairs)


class Beside:
    """Changes that are computed beside their layers. remove() takes them away; the weights were never touched."""

    def __init__(self, remove: Sequence[Callable[[], None]]):
        self._remove = list(remove)

    def remove(self) -> None:
        while self._remove:
            self._remove.pop()()


@torch.no_grad()
def attach(module: nn.Module, loras: Weighted) -> Beside:
    """Let linear layers add their changes to what they compute: layer(x) + weight * scale * up (down x).

    Costs r (i + o) products a token, and r (i + o) numbers of memory; weights may be quantised, in a file, or loaded
    at every use. Changes to other layers (norms) are merged, and unmerged by remove().
    """
    terms: dict[str, list[Term]] = {}
    merged: dict[str, Change] = {}
    for name, changes in _by_parameter(loras):
        owner, _, leaf = name.rpartition(".")
        if isinstance(module.get_submodule(owner), nn.Linear):
            terms.setdefault(owner, []).extend(_term(leaf, change, weight) for change, weight in changes)
        else:
            merged[name] = torch.stack([weight * full(change) for change, weight in changes]).sum(dim=0)
    undo = merge(module, [(merged, 1.0)]).undo
    handles = [
        module.get_submodule(owner).register_forward_hook(_adding(own)) for owner, own in terms.items()
    ]
    return Beside([undo, *(handle.remove for handle in handles)])


Term = Callable[[torch.Tensor], torch.Tensor]  # x (... i) -> (... o), or (o)


def _term(leaf: str, change: Change, weight: float) -> Term:
    """What a change of a linear layer's weight or bias adds to its output."""
    if isinstance(change, Kronecker | Product):
        # small in its factors, and so computed at every use
        return lambda x: weight * F.linear(x, full(change, x.device).to(x.dtype))
    held: list[torch.Tensor] = list(change[:2]) if isinstance(change, LowRank) else [change]
    weight = weight * change.scale if isinstance(change, LowRank) else weight

    def term(x: torch.Tensor) -> torch.Tensor:
        held[:] = [tensor.to(x.device, x.dtype) for tensor in held]  # the first call settles it
        y = held[0] if leaf == "bias" else x
        for factor in held if leaf == "weight" else []:
            y = F.linear(y, factor)
        return weight * y

    return term


def _adding(terms: Sequence[Term]) -> Callable[[nn.Module, tuple[torch.Tensor], torch.Tensor], torch.Tensor]:
    def hook(layer: nn.Module, args: tuple[torch.Tensor], out: torch.Tensor) -> torch.Tensor:
        for term in terms:
            out = out + term(args[0])
        return out

    return hook


def _by_parameter(loras: Weighted) -> Iterator[tuple[str, list[tuple[Change, float]]]]:
    """(parameter's name, all that changes it), each name once."""
    names = dict.fromkeys(name for changes, _ in loras for name in changes)
    for name in names:
        terms = [(changes[name], weight) for changes, weight in loras if name in changes and weight]
        if terms:
            yield name, terms
