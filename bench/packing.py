"""Clips of mixed sizes in one row, beside buckets of one size and beside a mask: python bench/packing.py [--rounds 3]

Forward and backward passes of the default transformer on the same clips: packed, with attention for each clip; packed,
with attention of clips padded to the longest under a mask; packed, with one mask over the whole row; and in buckets, a
batch for each shape. A B A B, processor seconds, one thread. First the numerics gate: the largest error of the packed
velocity and of the gradients, against clips by themselves.
"""

from __future__ import annotations

import argparse
import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
import torch.nn.functional as F
from torch import Tensor

from sorairo.nn.packed import AttendEach, Sequences, attend_each
from sorairo.transformer.block import SelfAttention
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

Shape = tuple[int, int, int]
MIXES: dict[
    str, list[Shape]
] = {  # latent t h w of 64 to 128 px, stills to 33 frames; about 2,600 tokens each
    "one shape": [(9, 12, 12)] * 8,
    "mixed": [(9, 8, 8)] * 3
    + [(9, 12, 8)] * 2
    + [(9, 8, 12)] * 2
    + [(9, 12, 12)] * 2
    + [(9, 16, 16)]
    + [(1, 12, 12)] * 3,
    "very mixed": [(17, 12, 12), (9, 16, 16), (9, 8, 8), (1, 8, 8), (1, 16, 16), (9, 12, 8), (5, 8, 8)],
}


class Case:
    """Clips, a noise level for each frame, and words."""

    def __init__(self, shapes: Sequence[Shape], dtype: torch.dtype):
        config, g = PRESETS["default"], torch.Generator().manual_seed(0)
        self.shapes, self.dtype = list(shapes), dtype
        self.clips = [torch.randn(config.channels, *shape, generator=g).to(dtype) for shape in shapes]
        self.times = [1000 * torch.rand(t, generator=g) for t, _, _ in shapes]
        self.lengths = torch.randint(8, 30, (len(shapes),), generator=g)
        self.text = torch.randn(len(shapes), 30, config.text_dim, generator=g).to(dtype)

    @property
    def tokens(self) -> int:
        return sum(t * h * w // 4 for t, h, w in self.shapes)


def packed(net: Transformer, case: Case) -> Tensor:
    made = net(case.clips, torch.cat(case.times), case.text, case.lengths)
    return torch.stack([clip.float().square().sum() for clip in made]).sum()


def bucketed(net: Transformer, case: Case) -> Tensor:
    """A batch for each shape, as steps of one shape have; the gradients of all are summed."""
    total = torch.zeros(())
    for shape in dict.fromkeys(case.shapes):
        rows = [row for row, other in enumerate(case.shapes) if other == shape]
        made = net(
            torch.stack([case.clips[row] for row in rows]),
            torch.stack([case.times[row] for row in rows]),
            case.text[rows],
            case.lengths[rows],
        )
        total = total + made.float().square().sum()
    return total


def row_mask(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, **_: Any) -> Tensor:
    """One mask over the whole row: who belongs to the same clip."""
    number = torch.repeat_interleave(torch.tensor(sequences.counts))
    return F.scaled_dot_product_attention(q, k, v, attn_mask=number[:, None] == number)


def padded(q: Tensor, k: Tensor, v: Tensor, sequences: Sequences, **_: Any) -> Tensor:
    """Each clip padded to the longest, with a mask over keys."""
    most = max(sequences.counts)
    rows = [
        torch.cat(
            [
                F.pad(part[0], (0, 0, 0, most - n))[None]
                for part, n in zip(x.split(sequences.counts, 2), sequences.counts, strict=True)
            ]
        )
        for x in (q, k, v)
    ]  # s k m c
    there = torch.arange(most) < torch.tensor(sequences.counts)[:, None]
    seen = F.scaled_dot_product_attention(*rows, attn_mask=there[:, None, None])
    return torch.cat([seen[i, :, :n] for i, n in enumerate(sequences.counts)], dim=1)[None]


def with_attention(net: Transformer, each: AttendEach) -> None:
    for module in net.modules():
        if isinstance(module, SelfAttention):
            module.each = each


def gate(net: Transformer, case: Case) -> None:
    """Print how far packed clips are from each by itself."""
    with torch.no_grad():
        row = net(case.clips, torch.cat(case.times), case.text, case.lengths)
        alone = [
            net(clip[None], at[None], case.text[i : i + 1], case.lengths[i : i + 1])[0]
            for i, (clip, at) in enumerate(zip(case.clips, case.times, strict=True))
        ]
    error = max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(row, alone, strict=True))
    gradients = []
    for way in (packed, bucketed):
        net.zero_grad()
        way(net, case).backward()
        gradients.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    worst = max(float((a - b).norm() / b.norm().clamp_min(1e-9)) for a, b in zip(*gradients, strict=True))
    print(
        f"largest error of a velocity {error:.1e} of its largest value, of a gradient {worst:.1e} of its norm"
    )


def seconds(step: Callable[[Transformer, Case], Tensor], net: Transformer, case: Case) -> float:
    began = time.process_time()
    step(net, case).backward()
    return time.process_time() - began


def main(rounds: int, dtype: str, layers: int) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[dtype]
    net = Transformer(replace(PRESETS["default"], layers=layers))
    for p in net.parameters():
        torch.nn.init.normal_(p, std=0.02)
    gate(net, Case(MIXES["very mixed"], torch.float32))
    net.to(kind)
    ways = {
        "packed": (packed, attend_each),
        "buckets": (bucketed, attend_each),
        "padded, mask": (packed, padded),
        "row, mask": (packed, row_mask),
    }
    print("| clips | tokens | " + " | ".join(ways) + " |\n|---|---:|" + "---:|" * len(ways))
    for name, shapes in MIXES.items():
        case = Case(shapes, kind)
        spent: dict[str, list[float]] = {way: [] for way in ways}
        for number, (way, (step, each)) in itertools.product(range(rounds + 1), ways.items()):
            with_attention(net, each)
            took = seconds(step, net, case)
            if number:
                spent[way].append(took)
        base = median(spent["packed"])
        cells = [f"{median(times):.2f} s ({median(times) / base:.2f})" for times in spent.values()]
        print(f"| {name}, {len(shapes)} clips | {case.tokens} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--rounds", type=int, default=3)
    ask.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    ask.add_argument("--layers", type=int, default=8)
    main(**vars(ask.parse_args()))
