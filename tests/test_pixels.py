"""Levels and pixels: every level comes back, what is beyond is cut off, and nothing else converts them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from sorairo.pixels import from_frames, from_levels, to_frames, to_levels

ROOT = Path(__file__).parent.parent


def test_every_level_comes_back() -> None:
    levels = torch.arange(256, dtype=torch.uint8)
    pixels = from_levels(levels)
    assert pixels.dtype == torch.float32 and (float(pixels[0]), float(pixels[-1])) == (-1.0, 1.0)
    assert torch.equal(to_levels(pixels), levels)
    assert to_levels(torch.tensor([-9.0, 1.2, 9.0])).tolist() == [0, 255, 255]


def test_frames() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), dtype=np.uint8)
    pixels = from_frames(frames[:, ::-1])
    assert pixels.shape == (1, 3, 5, 4, 6) and np.array_equal(to_frames(pixels)[0], frames[:, ::-1])


@pytest.mark.parametrize("folder", ["src", "recipes", "bench"])
def test_it_is_done_in_one_place(folder: str) -> None:
    others = [
        path
        for path in (ROOT / folder).rglob("*.py")
        if path.name != "pixels.py" and re.search(r"\b127\.5\b", path.read_text())
    ]
    assert not [path for path in others if "worlds" not in path.parts], others
