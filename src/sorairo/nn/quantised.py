"""Linear layers whose weights are held as small integers: in int8 and multiplied so, or packed and unpacked at use."""

# Letters: n tokens, i inputs, o outputs

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import nn

from sorairo.nn.precision import has_int8, has_int8_pairs
from sorairo.nn.unpack import unpack

__all__ = [
    "Int8Linear",
    "PackedEmbedding",
    "PackedLinear",
    "is_quantised",
    "logical_shapes",
    "quantised",
    "to_int8",
]

LEAST_ROWS = 17  # what CUDA's int8 product takes
TINY = 1e-12
LEVELS = 127
PAIR_LEVELS = 64
"""The largest weight where a CPU adds two products in 16 bits: 255 * 64 * 2 is below 2^15, 255 * 127 * 2 is not."""
FEW_ROWS = 32
"""Rows up to which float32 is faster: oneDNN orders the weight again for each product."""


def quantised(x: torch.Tensor, levels: int = LEVELS) -> tuple[torch.Tensor, torch.Tensor]:
    """(int8 of x's shape, its scale (... 1) float32) with x = int8 * scale, each row's largest value at `levels`."""
    x = x.float()
    scale = x.abs().amax(dim=-1, keepdim=True).clamp(min=TINY) / levels
    return (x / scale).round().to(torch.int8), scale


def product(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """a (n i) times b (o i) transposed, both int8: (n o), int32 or float32, whichever is the faster.

    Without int8 instructions (VNNI, AMX) `torch._int_mm` multiplies one number at a time, 15 times slower than float32.
    An x86 CPU with AVX2 has oneDNN's product in pairs there, twice as fast as float32; b is then within PAIR_LEVELS.
    Others multiply the same integers in float32. Sums are exact up to 2^24, and rounded above to one in 2^24.
    """
    if a.device.type == "cpu" and not has_int8():
        if has_int8_pairs() and len(a) > FEW_ROWS:
            return torch.ops.sorairo.int8_in_pairs(a, b)
        return a.float() @ b.float().T
    rows = len(a)
    if a.device.type == "cuda" and rows < LEAST_ROWS:
        a = F.pad(a, (0, 0, 0, LEAST_ROWS - rows))
    return torch._int_mm(a, b.T)[:rows]  # pyright: ignore


def in_pairs(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """product() by oneDNN. The weight is ordered for it each time, 2 to 5% of the product, and not held twice."""
    a, b = a.contiguous(), b.contiguous()  # oneDNN reads a transposed one as if it were not
    one, zero = torch.ones(len(b)), torch.zeros(len(b), dtype=torch.int32)
    ordered = torch.ops.onednn.qlinear_prepack(b, list(a.shape))
    shifted = a.view(torch.uint8) ^ 128  # a + 128: oneDNN wants bytes without a sign
    made = (None, 1.0, 0, torch.float32, "none", [], "")
    return torch.ops.onednn.qlinear_pointwise(shifted, 1.0, 128, ordered, one, zero, *made)


# An operator of our own, since torch.compile takes oneDNN's apart and wants the ordered weight to be a constant
OPERATORS = torch.library.Library("sorairo", "DEF")
OPERATORS.define("int8_in_pairs(Tensor a, Tensor b) -> Tensor")
OPERATORS.impl("int8_in_pairs", in_pairs, "CPU")
OPERATORS.impl("int8_in_pairs", lambda a, b: a.new_empty(a.shape[0], b.shape[0], dtype=torch.float32), "Meta")


class Int8Linear(nn.Linear):
    """A linear layer in 8 bits: its weight by output, what comes in by token. weight: (o i) int8, scale: (o) float32.

    A row's product does not depend on the other rows of the batch. On a CPU that multiplies in pairs a weight has 7
    bits (PAIR_LEVELS), so that no pair is cut off. Source: Dettmers et al. 2022 (arXiv 2208.07339), section 2.1,
    vector-wise quantisation.
    """

    scale: nn.Parameter

    @classmethod
    def like(cls, layer: nn.Linear) -> Self:
        """Of a layer's shape, without numbers: on the meta device, to be filled."""
        made = cls(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        made.weight = nn.Parameter(made.weight.to(torch.int8), requires_grad=False)
        made.scale = nn.Parameter(torch.empty(layer.out_features, device="meta"), requires_grad=False)
        return made

    @classmethod
    def of(cls, layer: nn.Linear) -> Self:
        """The same layer in 8 bits."""
        made = cls.like(layer)
        made.bias = layer.bias
        made.fill(layer.weight.detach())
        return made

    def fill(self, weight: torch.Tensor, rows: int = 1024) -> None:
        """Take a weight (o i) of any floating dtype, some rows at a time."""
        held = torch.empty(weight.shape, dtype=torch.int8, device=weight.device)
        scale = torch.empty(len(weight), device=weight.device)
        levels = PAIR_LEVELS if weight.device.type == "cpu" and has_int8_pairs() else LEVELS
        for i in range(0, len(weight), rows):
            held[i : i + rows], each = quantised(weight[i : i + rows], levels)
            scale[i : i + rows] = each[:, 0]
        self.weight = nn.Parameter(held, requires_grad=False)
        self.scale = nn.Parameter(scale, requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        x, scale = quantised(input.flatten(0, -2))  # n i, n 1
        y = product(x, self.weight).float() * scale * self.scale  # n o
        y = y if self.bias is None else y + self.bias.float()
        return y.to(input.dtype).unflatten(0, input.shape[:-1])

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> Self:
        """Scales stay float32 where a model changes its dtype; they move with it."""
        scale = self.scale.data
        super()._apply(fn, recurse)
        if self.scale.dtype != torch.float32:
            self.scale = nn.Parameter(scale.to(self.weight.device), requires_grad=False)
        return self


class PackedLinear(nn.Linear):
    """A linear layer whose weight is packed in a form of unpack.FORMS, and unpacked into x's dtype at each use.

    weight: (o bytes) int8, a dtype that transformers does not take for that of the computation.
    """

    def __init__(self, layer: nn.Linear, form: str, width: int):
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.form = form
        packed = torch.empty(layer.out_features, width, dtype=torch.int8, device="meta")
        self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        weight = unpack(self.weight.view(torch.uint8), self.form, input.dtype)
        return F.linear(input, weight, self.bias)


class PackedEmbedding(nn.Embedding):
    """A table that unpacks only the rows that are looked up. weight: (rows bytes) int8. dtype: what comes
    out."""

    def __init__(self, table: nn.Embedding, form: str, width: int, dtype: torch.dtype):
        super().__init__(table.num_embeddings, table.embedding_dim, device="meta")
        self.form, self.dtype = form, dtype
        packed = torch.empty(table.num_embeddings, width, dtype=torch.int8, device="meta")
        self.weight = nn.Parameter(packed, requires_grad=False)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        rows = self.weight[input.flatten()].view(torch.uint8)
        return unpack(rows, self.form, self.dtype).unflatten(0, input.shape)


def to_int8(module: nn.Module, under: str = "", but: tuple[str, ...] = ()) -> None:
    """Exchange the linear layers below a name for ones in 8 bits, without numbers yet. but: last parts of names that
    stay as they are."""
    for path, layer in list(module.get_submodule(under).named_modules(prefix=under)):
        parent, _, last = path.rpartition(".")
        if type(layer) is nn.Linear and last not in but:
            setattr(module.get_submodule(parent), last, Int8Linear.like(layer))


def is_quantised(module: nn.Module) -> bool:
    """Whether any layer of a module holds its weight as integers, so that nothing can be added to it."""
    return any(isinstance(part, Int8Linear | PackedLinear) for part in module.modules())


def logical_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """The shape of each tensor of a module's weights, of packed ones as they are unpacked; scales are no weights."""
    shapes = {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}
    for path, part in module.named_modules():
        name = f"{path}.weight" if path else "weight"
        if isinstance(part, PackedLinear):
            shapes[name] = (part.out_features, part.in_features)
        elif isinstance(part, PackedEmbedding):
            shapes[name] = (part.num_embeddings, part.embedding_dim)
        elif isinstance(part, Int8Linear):
            del shapes[f"{path}.scale" if path else "scale"]
    return shapes
