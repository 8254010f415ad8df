"""Modules whose weights are about to be loaded need no random ones first."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

__all__ = ["Blank"]


class Blank(TorchFunctionMode):
    """`with Blank(): Model(config)` leaves what torch.nn.init would fill as it lies in memory.

    The meta device does this too, but its first use imports a second and a half of torch.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__module__", None) == torch.nn.init.__name__:
            return args[0] if args else (kwargs or {})["tensor"]
        return func(*args, **(kwargs or {}))
