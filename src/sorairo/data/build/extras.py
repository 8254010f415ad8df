"""The packages that only a build needs."""

from __future__ import annotations

import importlib
from types import ModuleType

from sorairo.types import UserError

__all__ = ["needed"]


def needed(name: str, extra: str = "data") -> ModuleType:
    """A package of an extra, imported. Raises UserError with the command that installs it."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UserError(f'This needs another package ({name}): pip install "sorairo[{extra}]".') from error
