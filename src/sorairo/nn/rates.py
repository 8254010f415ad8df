"""How fast a processor multiplies in each dtype: measured once, and kept in the user's cache."""

from __future__ import annotations

import hashlib
import json
import platform
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
import torch.nn.functional as F

from sorairo.files import cache_home, write_text
from sorairo.nn.precision import processor_name
from sorairo.nn.quantised import Int8Linear
from sorairo.types import UserError

__all__ = ["Rates", "measured", "rates", "rates_file"]

WIDTH = 1536
"""Inputs and outputs of the product: Wan 1.3B's width."""
MOST_ROWS = 1024
ENOUGH = 0.02
"""Seconds of one product from which on its rate is believed."""


@dataclass(frozen=True, kw_only=True)
class Rates:
    """TFLOP/s of a product of many rows with the threads of this process; 0 where a device cannot.

    int8: as a layer in 8 bits multiplies, rounding what comes in included.
    """

    fp32: float
    bf16: float
    int8: float

    def __post_init__(self) -> None:
        if not all(isinstance(rate, float) and 0 <= rate < 1e6 for rate in asdict(self).values()):
            raise ValueError("a rate is a number of TFLOP/s")


def rates_file() -> Path:
    """Where measured rates lie; deleting it has them measured again."""
    return cache_home() / "rates.json"


def rates(device: torch.device) -> Rates:
    """The rates of a device: those that lie in the user's cache for it, this torch and this number of threads, or else
    measured, which takes a second, and put there."""
    path, key = rates_file(), _key(device)
    try:
        kept = json.loads(path.read_bytes())
        return Rates(**kept[key])
    except (OSError, ValueError, KeyError, TypeError):  # none yet, or not what we wrote
        found = measured(device)
    try:
        kept = json.loads(path.read_bytes())
    except (OSError, ValueError):
        kept = {}
    kept = kept if isinstance(kept, dict) else {}
    with suppress(UserError, OSError):  # a home that cannot be written to; it is measured again next time
        write_text(path, json.dumps(kept | {key: asdict(found)}, indent=1))
    return found


def measured(device: torch.device) -> Rates:
    """The rates of a device, from products of WIDTH x WIDTH."""
    with torch.inference_mode():
        weight = torch.randn(WIDTH, WIDTH)
        wide, half = weight.to(device), weight.to(device, torch.bfloat16)
        layer = Int8Linear(WIDTH, WIDTH, bias=False, device=device)
        layer.fill(wide)
        wanted = wide.dtype if device.type == "cpu" else half.dtype
        return Rates(
            fp32=_rate(lambda x: F.linear(x, wide), torch.float32, device),
            bf16=_rate(lambda x: F.linear(x, half), torch.bfloat16, device),
            int8=_rate(layer, wanted, device),
        )


def _rate(product: Callable[[torch.Tensor], torch.Tensor], dtype: torch.dtype, device: torch.device) -> float:
    """TFLOP/s of a product, with as many rows as make it last long enough to be timed."""
    rows, fastest = 32, 0.0
    try:
        while True:
            x = torch.randn(rows, WIDTH).to(device, dtype)
            product(x)
            took = min(_seconds(product, x) for _ in range(3))
            fastest = max(fastest, 2e-12 * rows * WIDTH * WIDTH / took)
            if took > ENOUGH or rows >= MOST_ROWS:
                return fastest
            rows *= 2
    except RuntimeError:  # the device has no such product
        return 0.0


def _seconds(product: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> float:
    """Of a processor the seconds of each thread, which other programs do not stretch; else the clock's."""
    cpu = x.device.type == "cpu"
    clock, threads = (time.process_time, torch.get_num_threads()) if cpu else (time.perf_counter, 1)
    start = clock()
    product(x).flatten()[0].item()  # waits for the device
    return max(1e-9, clock() - start) / threads


def _key(device: torch.device) -> str:
    """What rates depend on: the processor by name and instructions, torch, and the number of threads."""
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}, torch {torch.__version__}"
    if device.type != "cpu":
        return f"{device.type} {platform.processor()}, torch {torch.__version__}"
    has = torch.cpu.get_capabilities() if hasattr(torch.cpu, "get_capabilities") else {}
    instructions = hashlib.sha256(repr(sorted(has.items())).encode()).hexdigest()[:8]
    name = f"{processor_name()} {instructions}"
    return f"{name}, torch {torch.__version__}, {torch.get_num_threads()} threads"
