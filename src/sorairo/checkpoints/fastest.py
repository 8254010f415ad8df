"""What `auto` stands for on this processor: the dtype whose products are measured as the fastest, at a stated loss."""

from __future__ import annotations

from pathlib import Path

import torch

from sorairo.checkpoints.layouts import Layout
from sorairo.nn.rates import Rates, rates, rates_file

__all__ = ["LARGE", "LOSSES", "fastest", "fastest_of"]

LARGE = 500_000_000
"""Weights of a transformer from which on `auto` goes by measured rates; the rule serves smaller ones, which are done
before a measurement is."""
GAIN = 1.25
"""How much faster a dtype must be than those that lose less."""
LOSSES = {"fp32": "no loss", "bf16": "60 dB from fp32", "int8": "at least 38 dB from fp32"}
"""What a step loses, of random weights; from the least to the most. Measured by bench/wan.py, see docs/speed.md."""


def fastest(dtype: str | torch.dtype, layout: Layout, device: torch.device) -> tuple[str | torch.dtype, str]:
    """(the dtype that `auto` stands for with a model, a sentence that says so).

    Of large models on a CPU the one whose products are the fastest, by 1.25 over those that lose less. Otherwise, and
    for packed weights and all other words, what was given, without a sentence.
    """
    entries = layout.transformers[0].entries.values()
    large = sum(entry.numel for entry in entries) >= LARGE
    if dtype != "auto" or device.type != "cpu" or not large or any(entry.form for entry in entries):
        return dtype, ""
    found = rates(device)
    best = fastest_of(found)
    others = ", ".join(
        f"{name} {getattr(found, name):.2g}" for name in LOSSES if name != best and getattr(found, name)
    )
    return best, (
        f"--dtype auto is {best} here ({LOSSES[best]}): products at {getattr(found, best):.2g} TFLOP/s ({others}),"
        f" measured once, in {_short(rates_file())}."
    )


def fastest_of(found: Rates) -> str:
    """The name of the dtype that rates speak for."""
    best = "fp32"
    for name in LOSSES:
        if getattr(found, name) > GAIN * getattr(found, best):
            best = name
    return best


def _short(path: Path) -> str:
    """A path below the home folder, from ~."""
    return f"~/{path.relative_to(Path.home())}" if path.is_relative_to(Path.home()) else str(path)
