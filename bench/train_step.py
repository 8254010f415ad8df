"""One training step, ours beside diffusers': python bench/train_step.py [--layers 8] [--batch 8] [--rounds 3]

Both have the same weights, batch and noise. Ours: compiled blocks, weights resident in bf16 with fp32 masters, one pad
key, our optimiser. Theirs: WanTransformer3DModel compiled whole, autocast to bf16, torch's fused AdamW. A B A B; before
it the numerics gate: loss and gradient of both against diffusers in fp32. The peak is a plain bf16 product of the
feed-forward's shape, measured in the same run. Wall-clock and processor seconds: on a busy machine only the second
compares.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from dataclasses import replace
from statistics import median

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # as `sorairo train` does; read when torch is imported

import torch
from diffusers import WanTransformer3DModel
from torch import Tensor

from sorairo.checkpoints.adapters.wan import to_wan, to_wan_config
from sorairo.flow.loss import velocity_loss
from sorairo.flow.path import interpolate
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.transformer.model import Transformer, TransformerConfig, forward_flops
from sorairo.transformer.presets import PRESETS


class Case:
    """One batch: latents (b c t h w), a sigma per frame, words of differing lengths, padded to 96 for diffusers."""

    def __init__(self, config: TransformerConfig, batch: int, grid: tuple[int, int, int], words: int):
        g = torch.Generator().manual_seed(0)
        self.data = torch.randn(batch, config.channels, *grid, generator=g)
        self.noise = torch.randn(self.data.shape, generator=g)
        self.sigma = torch.rand(batch, grid[0], generator=g)
        self.lengths = torch.randint(words // 4, words + 1, (batch,), generator=g)
        self.lengths[0] = words
        self.text = torch.randn(batch, config.text_len, config.text_dim, generator=g)
        self.text[torch.arange(config.text_len) >= self.lengths[:, None]] = 0
        self.words, self.side = words, config.patch_side

    @property
    def noisy(self) -> Tensor:
        return interpolate(self.data, self.noise, self.sigma)

    def flops(self, config: TransformerConfig) -> float:
        b, _, t, h, w = self.data.shape
        return (
            3.0 * b * forward_flops(config, tokens=t * h * w // self.side**2, words=self.words + 1, times=t)
        )


def our_loss(model: Transformer, case: Case, dtype: torch.dtype) -> Tensor:
    text = case.text[:, : case.words].to(dtype)
    velocity = model(case.noisy.to(dtype), 1000 * case.sigma, text, case.lengths)
    return velocity_loss(velocity, case.data, case.noise)


def their_loss(model: Callable, case: Case, autocast: bool) -> Tensor:
    h, w = case.data.shape[-2:]
    per_token = (1000 * case.sigma).repeat_interleave(h * w // case.side**2, dim=1)  # b n
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        velocity = model(case.noisy, per_token, case.text, return_dict=False)[0]
    return velocity_loss(velocity, case.data, case.noise)


def gate(config: TransformerConfig, model: Transformer, theirs: WanTransformer3DModel, case: Case) -> None:
    """Prints how far each bf16 step is from diffusers in fp32."""
    small = Case(config, 8, (case.data.shape[2], *case.data.shape[3:]), case.words)
    loss = their_loss(theirs, small, False)
    loss.backward()
    exact = {name: p.grad.clone() for name, p in theirs.named_parameters()}
    theirs.zero_grad()
    cast = their_loss(theirs, small, True)
    cast.backward()
    autocast = {name: p.grad.clone() for name, p in theirs.named_parameters()}
    theirs.zero_grad()
    ours = our_loss(model, small, torch.bfloat16)
    ours.backward()
    mine = to_wan({name: p.grad.float() for name, p in model.named_parameters()}, config)
    model.zero_grad()
    print(f"{'against diffusers fp32':28} {'loss':>10} {'difference':>12} {'gradient cosine':>16}")
    print(f"{'diffusers, fp32':28} {float(loss.detach()):10.6f}")
    for name, value, grads in (("diffusers, autocast", cast, autocast), ("ours, bf16", ours, mine)):
        value, apart = float(value.detach()), float((value - loss).detach())
        print(f"{name:28} {value:10.6f} {apart:12.2e} {cosine(grads, exact):16.6f}")
    assert abs(float(ours - loss)) < 5e-3 and cosine(mine, exact) > 0.995, "the two steps differ"


def cosine(a: dict[str, Tensor], b: dict[str, Tensor]) -> float:
    x = torch.cat([a[name].double().flatten() for name in sorted(b)])
    y = torch.cat([b[name].double().flatten() for name in sorted(b)])
    return float(torch.nn.functional.cosine_similarity(x, y, dim=0))


def peak(tokens: int, width: int, hidden: int) -> float:
    """TFLOP/s of a plain bf16 product of that shape; the best of many."""
    a, b = torch.randn(tokens, width).bfloat16(), torch.randn(width, hidden).bfloat16()
    return 2e-12 * tokens * width * hidden / min(seconds(lambda: a @ b)[0] for _ in range(30))


def seconds(work: Callable[[], object]) -> tuple[float, float]:
    """(wall-clock, processor) seconds."""
    began = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - began[0], time.process_time() - began[1]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--grid", type=int, nargs=3, default=(9, 12, 12), help="latent t h w")
    parser.add_argument("--words", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    config = replace(PRESETS["default"], layers=options.layers)
    case = Case(config, options.batch, tuple(options.grid), options.words)
    model = Transformer(config)
    model.init_weights()
    for p in model.parameters():  # off zero, so that every gradient has something to say
        torch.nn.init.normal_(p, std=0.03) if not p.any() else None
    theirs = WanTransformer3DModel.from_config(to_wan_config(config))
    theirs.load_state_dict(to_wan(model.state_dict(), config))

    optimizer = Optimizer(model.named_parameters(), OptimConfig(), torch.bfloat16)
    gate(config, model, theirs, case)
    for block in model.blocks:
        block.compile(dynamic=True)
    compiled = torch.compile(theirs)
    adamw = torch.optim.AdamW(theirs.parameters(), lr=1e-4, fused=True)

    def ours() -> None:
        our_loss(model, case, torch.bfloat16).backward()
        optimizer.step(0.01)

    def naive() -> None:
        their_loss(compiled, case, True).backward()
        adamw.step()
        adamw.zero_grad()

    print(f"compiling: ours {seconds(ours)[0]:.0f} s, theirs {seconds(naive)[0]:.0f} s")
    times: dict[str, list[tuple[float, float]]] = {"ours": [], "diffusers": []}
    peaks = []
    for _ in range(options.rounds):
        times["ours"] += [seconds(ours), seconds(ours)]
        times["diffusers"] += [seconds(naive), seconds(naive)]
        peaks.append(peak(case.data.shape[0] * case.data[0, 0].numel() // 4, config.width, config.hidden))
    report(times, case.flops(config), max(peaks))


def report(times: dict[str, list[tuple[float, float]]], flops: float, best: float) -> None:
    middle = {
        name: tuple(median(column) for column in zip(*rows, strict=True)) for name, rows in times.items()
    }
    print(
        f"\n{'step':12} {'seconds':>9} {'processor':>10} {'TFLOP/s':>9} {'of the peak':>12}   (peak {best:.2f} TFLOP/s)"
    )
    for name, (wall, processor) in middle.items():
        rate = flops / wall / 1e12
        print(f"{name:12} {wall:9.3f} {processor:10.3f} {rate:9.3f} {rate / best:12.0%}")
    ratios = [theirs / ours for theirs, ours in zip(middle["diffusers"], middle["ours"], strict=True)]
    print(f"ratio: {ratios[0]:.2f} by the clock, {ratios[1]:.2f} by processor seconds")


if __name__ == "__main__":
    main()
