"""Weights from files into modules, and every way in which they can fail to fit, in one sentence each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sorairo.config import parse_json
from sorairo.types import UserError

__all__ = ["Blank", "all_finite", "check_finite", "check_fit", "index_files", "read_weights"]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
SMALL = 1 << 22  # values of a tensor that is read whole
BLOCK = 1 << 16  # values that are read together of a larger one
AT_ONCE = (
    1 << 20
)  # values that are looked at together, so that what is computed on the way stays in the cache
# dtype -> (integers of its width, the bits of the exponent, which are all ones in a NaN and in infinity); e4m3 has no
# infinity, and its NaN has all bits but the sign's
EXPONENTS = {
    torch.bfloat16: (torch.int16, 0x7F80),
    torch.float16: (torch.int16, 0x7C00),
    torch.float8_e5m2: (torch.int8, 0x7C),
    torch.float8_e4m3fn: (torch.int8, 0x7F),
    torch.float8_e8m0fnu: (torch.uint8, 0xFF),
}


class Blank(TorchFunctionMode):
    """`with Blank(): Model(config)` leaves what torch.nn.init would fill as it lies in memory, to be loaded into.

    The meta device does this too, but its first use imports a second and a half of torch.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == torch.nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))


def read_weights(folder: Path, stem: str) -> dict[str, torch.Tensor]:
    """The tensors of folder/stem.safetensors, or of all the shards that stem.safetensors.index.json names.

    Raises UserError for a missing, damaged or cut file, and for a pickle, which is never opened.
    """
    whole, index = folder / f"{stem}.safetensors", folder / f"{stem}.safetensors.index.json"
    if not index.is_file():
        if not whole.is_file():
            pickles = sorted(path.name for path in folder.glob("*") if path.suffix in PICKLES)
            if pickles:
                raise UserError(
                    f"{folder / pickles[0]} is a pickle, which can run code; save it as safetensors."
                )
            raise UserError(f"{whole} is missing; copy the checkpoint again.")
        return _read(whole)
    tensors: dict[str, torch.Tensor] = {}
    for path in index_files(index):
        shard = _read(path)
        if twice := tensors.keys() & shard.keys():
            raise UserError(f"{folder} holds {min(twice)} in two files; copy the checkpoint again.")
        tensors |= shard
    return tensors


def index_files(index: Path) -> list[Path]:
    """The files of weights that a .safetensors.index.json names. Raises UserError for an index that names none, or a
    file that is not beside it."""
    names = parse_json(index.read_bytes(), where=str(index)).get("weight_map")
    if not isinstance(names, dict) or not names or not all(isinstance(name, str) for name in names.values()):
        raise UserError(
            f"{index} is damaged: weight_map does not name a file for each weight; copy it again."
        )
    paths = [index.parent / name for name in sorted(set(names.values()))]
    for path in paths:
        if path.parent != index.parent or path.suffix != ".safetensors" or "\0" in path.name:
            raise UserError(
                f"{index} names {path.name!r}, which is no .safetensors file beside it; copy it again."
            )
        if not path.is_file():
            raise UserError(f"{path} is missing; pull or copy the checkpoint again.")
    return paths


def all_finite(tensor: torch.Tensor) -> bool:
    """Whether no value is a NaN or infinite. Of a tensor with more than SMALL values, every tenth block is read.

    A value that this misses is caught when a computation uses it: the denoising step stops with an error
    (generation/denoise.py). See docs/models.md for what it costs.
    """
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    values = tensor.detach().reshape(-1)
    if values.numel() <= SMALL:
        parts = values.split(AT_ONCE)
    else:
        last = values.numel() - BLOCK
        parts = (values[start : start + BLOCK] for start in (*range(0, last, 10 * BLOCK), last))
    for part in parts:
        if part.dtype in EXPONENTS:
            kind, bits = EXPONENTS[part.dtype]
            finite = int(part.view(kind).bitwise_and(bits).max()) != bits
        else:
            finite = bool(torch.stack(torch.aminmax(part)).isfinite().all())
        if not finite:
            return False
    return True


def check_finite(name: str, tensor: torch.Tensor, where: Path | str) -> None:
    """Raise UserError where a tensor holds a value that is not finite, which would make every frame black."""
    if not all_finite(tensor):
        raise UserError(
            f"{where}: {name} holds numbers that are not finite (NaN or infinity); use sound weights."
        )


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; copy the checkpoint again.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged, cut short or no safetensors file; copy it again.") from error
    for name, tensor in tensors.items():
        check_finite(name, tensor, path)
    return tensors


def check_fit(expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], where: Path) -> None:
    """Raise UserError that names missing, unknown and misshapen tensors in `given`."""
    for names, what in (
        (expected.keys() - given.keys(), "lacks"),
        (given.keys() - expected.keys(), "has an unknown"),
    ):
        if names:
            more = f" and {len(names) - 1} more" if len(names) > 1 else ""
            raise UserError(
                f"{where}: the file of weights {what} {min(names)}{more}; it belongs to another config.json."
            )
    for name, tensor in expected.items():
        if tensor.shape != given[name].shape:
            raise UserError(
                f"{where}: {name} is {_shape(given[name])} but config.json says {_shape(tensor)};"
                " use the weights that belong to it."
            )


def _shape(tensor: torch.Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a number"
