"""Random numbers as a function of (seed, step, stream): nothing hidden, so a resumed run draws the same ones."""

from __future__ import annotations

import numpy as np
import torch

__all__ = ["numpy_rng", "torch_rng"]


def numpy_rng(seed: int, step: int, stream: int = 0) -> np.random.Generator:
    """numpy's generator for one step. Streams of the same step are independent."""
    return np.random.default_rng((seed, step, stream))


def torch_rng(seed: int, step: int, stream: int = 0) -> torch.Generator:
    """torch's generator for one step, on the CPU."""
    word = np.random.SeedSequence((seed, step, stream)).generate_state(1, np.uint64)[0]
    return torch.Generator().manual_seed(int(word >> 1))
