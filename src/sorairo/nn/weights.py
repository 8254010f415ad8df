"""Weights from files into modules, and every way in which they can fail to fit, in one sentence each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from sorairo.types import UserError

__all__ = ["Blank", "check_fit", "read_weights"]

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")


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
    try:
        shards = sorted(set(json.loads(index.read_text())["weight_map"].values()))
    except (ValueError, KeyError, AttributeError, UnicodeDecodeError) as error:
        raise UserError(f"{index} is damaged; copy the checkpoint again.") from error
    tensors: dict[str, torch.Tensor] = {}
    for shard in shards:
        tensors.update(_read(folder / Path(shard).name))
    return tensors


def _read(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; copy the checkpoint again.") from error
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} is damaged, cut short or no safetensors file; copy it again.") from error


def check_fit(expected: Mapping[str, torch.Tensor], given: Mapping[str, torch.Tensor], where: Path) -> None:
    """Raise UserError that names what is missing, unknown, or of another shape in `given`."""
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
