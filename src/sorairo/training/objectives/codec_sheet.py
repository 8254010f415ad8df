"""Originals over reconstructions, for the eye."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from sorairo.pixels import to_levels

__all__ = ["side_by_side"]


def side_by_side(pairs: Sequence[tuple[Tensor, Tensor]], path: Path, columns: int = 5) -> None:
    """A PNG of (original, reconstruction) pairs, each 3 t h w in [-1, 1]: two rows a pair, some frames across."""
    rows = []
    for pair in pairs:
        for video in pair:
            picks = torch.linspace(0, video.shape[1] - 1, min(columns, video.shape[1])).round().long()
            rows.append(torch.cat(list(video[:, picks].unbind(1)), dim=-1))  # 3 h (columns w)
    width = max(row.shape[-1] for row in rows)
    rows = [torch.nn.functional.pad(row.float(), (0, width - row.shape[-1]), value=-1.0) for row in rows]
    sheet = to_levels(torch.cat(rows, dim=-2))
    Image.fromarray(sheet.permute(1, 2, 0).numpy()).save(path)
