"""What a call adds to the memory that this process holds, at its peak (Linux)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

__all__ = ["added", "resident"]


def added(call: Callable[[], object]) -> float:
    """MiB. What was freed before is given back first, or it would be used again and not be seen."""
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")  # the peak is measured from here
    before = resident("VmRSS")
    call()
    return resident("VmHWM") - before


def resident(which: str) -> float:
    """MiB of this process: VmRSS now, VmHWM at the peak."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(which))
