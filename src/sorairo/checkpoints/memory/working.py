"""How much memory a model needs, said before anything of it is loaded: weights by headers, the rest by a dry run."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sorairo.checkpoints.headers import Entry, files_like, weight_entries

__all__ = [
    "Live",
    "Part",
    "Stage",
    "entries_part",
    "folder_parts",
    "meta",
    "module_part",
    "needs",
    "working_memory",
]


Built = TypeVar("Built", bound=nn.Module)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One component's weights. dtype: of most of them as saved ("bf16"); None where they are not here yet.

    streamed: how many of them are held where its blocks are left in their files; None where that cannot be. packed,
    packed_bytes: how many stay packed as a GGUF file has them, in how many bytes; largest: of the largest such tensor,
    which is unpacked at use.
    """

    name: str
    parameters: int
    dtype: str | None
    streamed: int | None = None
    packed: int = 0
    packed_bytes: int = 0
    largest: int = 0

    @property
    def in_int8(self) -> bool:
        """Whether --dtype int8 holds it in 8 bits."""
        return self.name.startswith(("transformer", "text"))

    def bytes_in(self, dtype: torch.dtype, *, streamed: bool = False, int8: bool = False) -> int:
        """Bytes once loaded in a dtype. streamed: with its blocks left in their files. int8: held in 8 bits."""
        if int8:  # scales, and the few layers that are not
            held = int(self.parameters * 1.05)
        else:
            held = (self.parameters - self.packed) * dtype.itemsize + self.packed_bytes
        if streamed and self.streamed is not None:
            held = int(held * self.streamed / self.parameters)
        return held + (0 if int8 else self.largest * dtype.itemsize)


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stage of making something. parts: the components it uses. working: bytes beside their weights.

    in_pieces: the same where it can go piece by piece and does.
    """

    name: str
    parts: tuple[str, ...]
    working: int
    in_pieces: int | None = None


def folder_parts(folder: Path) -> list[Part]:
    """The components of a checkpoint's folder, counted from the headers of their files."""
    parts = []
    for sub in sorted(path.parent for path in folder.glob("*/config.json")):
        if not any(files_like(sub, "*", suffix) for suffix in (".safetensors", ".gguf")):
            continue
        parts.append(entries_part(sub.name, weight_entries(sub)))
    return parts


def entries_part(name: str, entries: Mapping[str, Entry]) -> Part:
    """The same of one component's tensors."""
    by_dtype: dict[str, int] = {}
    for entry in entries.values():
        kind = entry.form or short_name(entry.dtype)
        by_dtype[kind] = by_dtype.get(kind, 0) + entry.numel
    packed = [entry for entry in entries.values() if entry.form]
    return Part(
        name=name,
        parameters=sum(by_dtype.values()),
        dtype=max(by_dtype, key=lambda kind: by_dtype[kind]),
        packed=sum(entry.numel for entry in packed),
        packed_bytes=sum(entry.stop - entry.start for entry in packed),
        largest=max((entry.numel for entry in packed), default=0),
    )


def module_part(name: str, module: nn.Module, dtype: str | None = None) -> Part:
    """The same of a module, for instance one on the meta device."""
    return Part(name=name, parameters=sum(p.numel() for p in module.parameters()), dtype=dtype)


def short_name(dtype: torch.dtype) -> str:
    """bf16, fp32 and the like."""
    return str(dtype).removeprefix("torch.").replace("bfloat", "bf").replace("float", "fp")


def needs(
    parts: Sequence[Part], stages: Sequence[Stage], dtype: torch.dtype, *, int8: bool = False
) -> tuple[int, int]:
    """(bytes with all weights kept, bytes with each stage's weights freed after it), each at its worst moment.

    int8: with transformer and text encoder in 8 bits.
    """
    weights = {part.name: part.bytes_in(dtype, int8=int8 and part.in_int8) for part in parts}
    kept = sum(weights.values()) + max(stage.working for stage in stages)
    freed = max(stage.working + sum(weights.get(name, 0) for name in stage.parts) for stage in stages)
    return kept, freed


def meta(build: Callable[[], Built]) -> Built:
    """A module with shapes and no memory."""
    with torch.device("meta"):
        return build()


def working_memory(
    module: nn.Module, run: Callable[[Any], object], dtype: torch.dtype, device: str = "cpu"
) -> int:
    """Bytes of all that `run(module)` holds at its worst moment, beside the weights.

    The forward pass itself is run, on tensors that have shapes and no content: milliseconds, no memory. module: on
    the meta device, changed in place. What libraries allocate inside one operation is not seen, nor what the C
    library keeps of freed memory: up to 40% more was measured where the total is below 200 MB, 10% above.
    """
    with FakeTensorMode(), torch.device(device), torch.inference_mode():
        for part in module.modules():
            for name, value in part._parameters.items():
                if value is not None:
                    part._parameters[name] = nn.Parameter(torch.empty(value.shape, dtype=dtype), False)
            for name, value in part._buffers.items():
                if value is not None:
                    part._buffers[name] = torch.empty(value.shape, dtype=value.dtype)
        with Live() as live:
            run(module)
    return live.peak


class Live(TorchDispatchMode):
    """Counts the bytes of all storages that live, each from the operation that makes it until it is freed."""

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self.known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                storage = tensor.untyped_storage()
                if storage._cdata not in self.known:
                    self.known.add(storage._cdata)
                    self.now += storage.nbytes()
                    self.peak = max(self.peak, self.now)
                    weakref.finalize(storage, self._freed, storage._cdata, storage.nbytes())
        return made

    def _freed(self, key: int, size: int) -> None:
        self.known.discard(key)
        self.now -= size
