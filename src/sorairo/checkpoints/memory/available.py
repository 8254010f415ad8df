"""How much memory there is; apart from memory.py, whose dry runs import more of torch than loading a model needs."""

from __future__ import annotations

from pathlib import Path

import torch

__all__ = ["available_memory"]


def available_memory(device: torch.device) -> int | None:
    """Bytes that can still be taken on a device; None where the system does not say."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")), None)
