"""Tensors into a module, one at a time: names and shapes are checked before weights are read."""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path

import torch
from torch import nn

from sorairo.checkpoints.headers import Entry, few, read_entry, safetensors_header, weight_entries
from sorairo.nn.quantised import Int8Linear, PackedEmbedding, PackedLinear, logical_shapes
from sorairo.nn.unpack import unpack
from sorairo.nn.weights import check_finite
from sorairo.types import UserError

__all__ = ["Adapt", "load_weights", "pack_layers", "read_tensors"]

ASKED = ("first", "embed")  # layers whose weight's dtype is what a model computes in
BLOCK = 1 << 21  # values converted at once, so that a large tensor is never there twice

# adapt({their name: tensor}) -> {our name: tensor}, for one tensor at a time
Adapt = Callable[[Mapping[str, torch.Tensor]], dict[str, torch.Tensor]]


def read_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    """(all tensors by name, the file's metadata). The tensors live in the mapped file; writing to one leaves the file
    alone. Raises UserError where the file is damaged, or a tensor holds a number that is not finite."""
    entries, metadata = safetensors_header(path)
    tensors = {name: view for name, view, _ in _views(entries)}
    for name, tensor in tensors.items():
        check_finite(name, tensor, path)
    return tensors, metadata


def load_weights(
    module: nn.Module,
    source: Path | Mapping[str, Entry],
    adapt: Adapt = dict,
    dtype: torch.dtype | None = None,
    *,
    layout: torch.memory_format = torch.contiguous_format,
    ignore: Callable[[str], bool] = lambda name: False,
    where: Path | None = None,
) -> None:
    """Fill a module made on the meta device from a component's folder, or from entries.

    dtype: of floating-point weights; None keeps each as it was saved. Where nothing is converted the weights stay
    in the file and are paged in as they are used; where they are, one is read at a time. layout: of 4-dimensional
    weights, for instance torch.channels_last. ignore: true for names of theirs that are left out. where: what errors
    call entries. Raises UserError that names tensors that are missing, left over, of another shape, quantised to
    integers, or that hold numbers which are not finite.
    """
    given = weight_entries(source) if isinstance(source, Path) else source
    entries = {name: entry for name, entry in given.items() if not ignore(name)}
    pack_layers(module, entries, adapt, dtype)
    _check(module, entries, adapt, source if isinstance(source, Path) else where)
    done: set[str] = set()
    state = module.state_dict(keep_vars=True)
    for name, view, release in _views(entries):
        form = entries[name].form
        if form and _is_packed(module, ours := _renamed(adapt, name, entries[name])):
            _put(module, ours, view.view(torch.int8), False)
            done.add(ours)
            continue
        if form:
            view = unpack(view, form, torch.float32).view(entries[name].shape)
        check_finite(name, view, entries[name].path)
        release()
        if entries[name].scale is not None:
            view = _unscaled(view, entries[name], dtype, release)
        for ours, tensor in adapt({name: view}).items():
            owner = _owner(module, ours)
            if isinstance(owner, Int8Linear) and ours.endswith("weight"):
                owner.fill(tensor)
                release()
                done.add(ours)
                continue
            made = _converted(tensor, dtype, layout, release)
            if ours not in done:
                _put(module, ours, made, state[ours].requires_grad)
                done.add(ours)
            elif not torch.equal(module.get_parameter(ours), made):
                raise UserError(f"{name} differs from its copy in another block; this form is not supported.")
            else:
                release()
    assert done == logical_shapes(module).keys()


def pack_layers(
    module: nn.Module, entries: Mapping[str, Entry], adapt: Adapt, dtype: torch.dtype | None = None
) -> None:
    """Exchange the layers of a module whose weights are packed for ones that unpack them at use.

    Others are unpacked as they are loaded: convolutions, layers in 8 bits, and layers whose dtype others ask for.
    """
    for name, entry in entries.items():
        if entry.form is None or len(entry.shape) != 2:
            continue
        ours = _renamed(adapt, name, entry)
        path, _, leaf = ours.rpartition(".")
        if leaf != "weight" or path.rpartition(".")[2] in ASKED:
            continue
        parent, _, last = path.rpartition(".")
        try:
            layer, width = module.get_submodule(path), (entry.stop - entry.start) // entry.shape[0]
        except AttributeError:  # no part of the module; the check of names says so
            continue
        if type(layer) is nn.Linear:
            setattr(module.get_submodule(parent), last, PackedLinear(layer, entry.form, width))
        elif type(layer) is nn.Embedding:
            table = PackedEmbedding(layer, entry.form, width, dtype or torch.float32)
            setattr(module.get_submodule(parent), last, table)


def _renamed(adapt: Adapt, name: str, entry: Entry) -> str:
    """Our name of a tensor; of one that becomes several, the first."""
    return next(iter(adapt({name: torch.empty(entry.shape, device="meta")})))


def _owner(module: nn.Module, name: str) -> nn.Module:
    return module.get_submodule(name.rpartition(".")[0])


def _is_packed(module: nn.Module, name: str) -> bool:
    return isinstance(_owner(module, name), PackedLinear | PackedEmbedding)


def _check(module: nn.Module, entries: Mapping[str, Entry], adapt: Adapt, folder: Path | None) -> None:
    """Names and shapes, from the headers alone."""
    state, want = module.state_dict(), logical_shapes(module)
    got: dict[str, tuple[int, ...]] = {}
    extra: list[str] = []
    wrong: list[str] = []
    for name, entry in entries.items():
        for ours, tensor in adapt({name: torch.empty(entry.shape, device="meta")}).items():
            got[ours] = tuple(tensor.shape)
            if ours not in want:
                extra.append(name)
            elif state[ours].is_floating_point() and not (entry.dtype.is_floating_point or entry.form):
                raise UserError(
                    f"{folder or entry.path}: {name} holds whole numbers ({str(entry.dtype).removeprefix('torch.')}),"
                    " quantised in a way that is not read here; get the weights in bf16, fp16 or fp32."
                )
            elif got[ours] != want[ours]:
                wrong.append(f"{name} is {_shape(got[ours])} in place of {_shape(want[ours])}")
    missing = [name for name in want if name not in got]
    faults = [few(wrong)] if wrong else []
    faults += [f"missing: {few(missing)}"] if missing else []
    faults += [f"not of this model: {few(extra)}"] if extra else []
    if faults:
        if folder is not None and folder.is_file():
            raise UserError(f"{folder} is not the whole of one part of a model: {'; '.join(faults)}.")
        raise UserError(
            f"{folder or 'The weights'} do not fit the model that config.json describes: {'; '.join(faults)}."
        )


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape)) or "one number"


def _views(entries: Mapping[str, Entry]) -> Iterator[tuple[str, torch.Tensor, Callable[[], None]]]:
    """(name, tensor that lives in the mapped file, what forgets the pages that it was read from) of each entry."""
    by_path: dict[Path, list[str]] = {}
    for name, entry in entries.items():
        by_path.setdefault(entry.path, []).append(name)
    for path, names in by_path.items():
        with path.open("rb") as file:
            pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        for name in sorted(names, key=lambda name: entries[name].start):
            entry = entries[name]
            if entry.numel == 0:
                yield name, torch.empty(entry.shape, dtype=entry.dtype), lambda: None
                continue
            count = (entry.stop - entry.start) // entry.dtype.itemsize
            view = torch.frombuffer(pages, dtype=entry.dtype, count=count, offset=entry.start)
            rows = entry.shape[0] if len(entry.shape) == 2 else 1  # of others blocks go across rows
            shape = entry.shape if entry.form is None else (rows, -1)
            yield name, view.view(shape), _forget(pages, entry.start, entry.stop)


def _forget(pages: mmap.mmap, start: int, stop: int) -> Callable[[], None]:
    """Give the whole pages between two offsets back to the system; they would be read again if touched."""
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    length = stop // mmap.PAGESIZE * mmap.PAGESIZE - first

    def forget() -> None:
        if length > 0 and hasattr(pages, "madvise"):
            pages.madvise(mmap.MADV_DONTNEED, first, length)

    return forget


def _converted(
    tensor: torch.Tensor, dtype: torch.dtype | None, layout: torch.memory_format, release: Callable[[], None]
) -> torch.Tensor:
    """The tensor itself, or a copy in another dtype or layout, made block by block."""
    kind = dtype if dtype and tensor.is_floating_point() else tensor.dtype
    order = layout if tensor.ndim == 4 else torch.contiguous_format
    if tensor.dtype == kind and tensor.is_contiguous(memory_format=order):
        return tensor
    made = torch.empty(tensor.shape, dtype=kind, memory_format=order)
    if not tensor.ndim:
        return made.copy_(tensor)
    rows = max(1, BLOCK // max(1, prod(tensor.shape[1:])))
    for i in range(0, tensor.shape[0], rows):
        made[i : i + rows] = tensor[i : i + rows]
        release()
    return made


def _unscaled(
    view: torch.Tensor, entry: Entry, dtype: torch.dtype | None, release: Callable[[], None]
) -> torch.Tensor:
    """A scaled tensor times its scale, in a dtype (None: float32), block by block; each value is rounded once."""
    assert entry.scale is not None
    factor = read_entry(entry.scale).float().reshape(-1, *[1] * (view.ndim - 1))  # 1 or rows, 1 ...
    if not bool(factor.isfinite().all()):
        raise UserError(
            f"{entry.path} holds a scale that is not finite (NaN or infinity); use sound weights."
        )
    if not bool(factor.any()) and bool(view.view(torch.uint8).any()):
        raise UserError(f"{entry.path} holds scales of zero for weights that are not; use sound weights.")
    made = torch.empty(view.shape, dtype=dtype or torch.float32)
    rows = max(1, BLOCK // max(1, prod(view.shape[1:])))
    for i in range(0, view.shape[0], rows):
        own = factor if len(factor) == 1 else factor[i : i + rows]
        made[i : i + rows] = view[i : i + rows].float() * own
        release()
    return made


def _put(module: nn.Module, name: str, tensor: torch.Tensor, requires_grad: bool) -> None:
    owner, _, leaf = name.rpartition(".")
    holder = module.get_submodule(owner)
    if leaf in holder._parameters:
        holder._parameters[leaf] = nn.Parameter(tensor, requires_grad=requires_grad)
    else:
        holder._buffers[leaf] = tensor
