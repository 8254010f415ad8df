"""What a denoising step takes on this machine, by measured rates and counted products, before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from sorairo.checkpoints.fastest import LARGE, fastest_of
from sorairo.checkpoints.memory.estimates import WORDS, Ask, Blueprint, latent_shape
from sorairo.nn.rates import Rates, rates
from sorairo.transformer.model import TransformerConfig, forward_flops

__all__ = ["Pace", "pace_of"]

REACHED = 0.9
"""Of the rate of a plain product, what a whole step of a large model reaches; measured by bench/wan.py."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Pace:
    """How fast a device computes a model. dtype: what `auto` stands for there. layers, wide: TFLOP/s of its layers'
    products and of attention's, which are never in 8 bits."""

    model: Blueprint
    dtype: str
    layers: float
    wide: float

    def step_seconds(self, ask: Ask) -> float:
        """Seconds of a guided denoising step, which is two passes. Raises UserError for a size off the grid."""
        config, codec = self.model.configs
        _, t, h, w = latent_shape(ask, config, codec)
        tokens = t * h * w // config.patch_side**2
        scores = 4 * config.layers * config.width * tokens * (tokens + WORDS)
        rest = forward_flops(config, tokens=tokens, words=WORDS) - scores
        return 2 * (rest / self.layers + scores / self.wide) / (REACHED * 1e12)


def pace_of(model: Blueprint, device: torch.device) -> Pace | None:
    """How fast a device computes a model of Wan's family, by rates that are measured once; None for another model."""
    config, _ = model.configs
    if not isinstance(config, TransformerConfig):
        return None
    part = next(part for part in model.parts if part.name == "transformer")
    found = rates(device)
    wide = fastest_of(Rates(fp32=found.fp32, bf16=found.bf16, int8=0.0))
    dtype = wide if part.packed or part.parameters < LARGE else fastest_of(found)
    return Pace(model=model, dtype=dtype, layers=getattr(found, dtype), wide=getattr(found, wide))
