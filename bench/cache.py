"""Caching on trained weights: what is saved, and what it costs, beside EasyCache and beside simply fewer steps.

    python bench/cache.py [--model default] [--size 96x96] [--frames 17] [--steps 16] [--prompts 2]

PSNR is of the decoded frames against all steps, computed, from the same noise. `calls`: steps whose velocity was
computed. `time`: processor seconds of denoising, all steps over this row (a busy machine does not stretch them).
Mean over the prompts. The same steps are meant by all rows but the last ones.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import torch

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.flow.cache import CacheConfig, cached
from sorairo.flow.guidance import guided
from sorairo.flow.schedule import timestep_of, unipc_sigmas
from sorairo.flow.solvers import unipc

PROMPTS = [
    "A red ball drops onto the floor and bounces.",
    "A blue cube slides to the left.",
    "A green cylinder rolls to the right.",
]
TOLERANCES = (0.1, 0.2, 0.4, 0.8)
THRESHOLDS = (0.1, 0.2, 0.4)
FEWER = (0.75, 0.5, 0.375, 0.28)

Velocity = Callable[[torch.Tensor, Any], torch.Tensor]
Wrap = Callable[[Velocity, list[float]], Velocity]


def easy_cache(
    velocity: Velocity, threshold: float, first: int = 3, last: int = 1, steps: int = 0
) -> Velocity:
    """EasyCache (Zhou et al. 2025, algorithm 1), with the same steps computed at the ends."""
    past: dict[str, Any] = {"step": 0, "error": 0.0, "rate": None}

    def asked(x: torch.Tensor, sigma: float) -> torch.Tensor:
        step, past["step"] = past["step"], past["step"] + 1
        moved = (x - past["x"]).abs().mean().item() if step else 0.0
        if past["rate"] is not None:
            past["error"] += past["rate"] * moved / past["v"].abs().mean().item()
        inner = first <= step < steps - last and past["rate"] is not None
        if inner and past["error"] < threshold:
            made = x + past["change"]
        else:
            made = velocity(x, sigma)
            if step:
                past["rate"] = (made - past["v"]).abs().mean().item() / moved
            past.update(error=0.0, change=made - x)
        past.update(x=x, v=made)
        return made

    return asked


def velocity_of(model: Checkpoint, prompt: str) -> Velocity:
    """The guided velocity of a prompt."""
    texts = [model.text.encode([text]) for text in (prompt, "")]
    words = max(int(text.lengths[0]) for text in texts)
    states = torch.cat([text.states[:, :words] for text in texts]).to(model.dtype)  # 2 l d
    lengths = torch.cat([text.lengths for text in texts])  # 2

    def ask(x: torch.Tensor, sigma: Any, copies: int) -> torch.Tensor:
        timestep = torch.full((copies,), float(timestep_of(sigma)))
        x = x.to(model.dtype).expand(copies, -1, -1, -1, -1)
        return model.transformer(x, timestep, states[:copies], lengths[:copies]).float()

    def both(x: torch.Tensor, sigma: Any) -> tuple[torch.Tensor, torch.Tensor]:
        with_words, without = ask(x, sigma, 2).chunk(2)
        return with_words, without

    return guided(
        both,
        lambda x, sigma: ask(x, sigma, 1),
        model.info.default_guidance,
        interval=model.info.guidance_interval,
    )


def made(
    model: Checkpoint, velocity: Velocity, noise: torch.Tensor, steps: int, wrap: Wrap
) -> tuple[torch.Tensor, int, float]:
    """(frames, calls, processor seconds) of one generation."""
    calls = 0

    def counted(x: torch.Tensor, sigma: float) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return velocity(x, sigma)

    sigmas = unipc_sigmas(steps, model.shift)
    start = time.process_time()
    latents = unipc(wrap(counted, sigmas), noise, sigmas)
    seconds = time.process_time() - start
    return model.codec.decode(latents.to(model.dtype)).float(), calls, seconds


def psnr(a: torch.Tensor, b: torch.Tensor) -> float:
    """Of pixels in [-1, 1]."""
    return 10 * math.log10(4 / max((a - b).square().mean().item(), 1e-12))


def rows(steps: int) -> list[tuple[str, int, Wrap]]:
    """(name, steps, what is done to the velocity)."""
    plan: list[tuple[str, int, Wrap]] = []
    for tolerance in TOLERANCES:
        config = CacheConfig(tolerance=tolerance)
        plan.append((f"cached, {tolerance:g}", steps, lambda v, s, c=config: cached(v, s, c)))
    for threshold in THRESHOLDS:
        plan.append(
            (f"EasyCache, {threshold:g}", steps, lambda v, s, t=threshold: easy_cache(v, t, steps=len(s) - 1))
        )
    return [*plan, *((f"{round(f * steps)} steps", round(f * steps), lambda v, s: v) for f in FEWER)]


@torch.inference_mode()
def report(args: argparse.Namespace) -> None:
    model = load_checkpoint(args.model)
    (width, height), config = args.size, model.codec.config
    grid = (
        1 + (args.frames - 1) // config.time_factor,
        height // config.space_factor,
        width // config.space_factor,
    )
    sums: dict[str, list[float]] = {}
    for seed, prompt in enumerate(PROMPTS[: args.prompts]):
        velocity = velocity_of(model, prompt)
        noise = torch.randn(1, config.z_dim, *grid, generator=torch.Generator().manual_seed(seed))
        velocity(noise, 0.5)
        truth, _, whole = made(model, velocity, noise, args.steps, lambda v, s: v)
        for name, steps, wrap in rows(args.steps):
            frames, calls, seconds = made(model, velocity, noise, steps, wrap)
            old = sums.get(name, [0.0, 0.0, 0.0])
            new = [calls, whole / seconds, psnr(frames, truth)]
            sums[name] = [a + b / args.prompts for a, b in zip(old, new, strict=True)]
    print(f"{args.model}, {width}x{height}, {args.frames} frames, {args.steps} steps, {args.prompts} prompts")
    print(f"{'':18}{'calls':>6}{'time':>8}{'PSNR dB':>9}")
    for name, (calls, ratio, quality) in sums.items():
        print(f"{name:18}{calls:6.1f}{ratio:7.2f}x{quality:9.1f}")


def size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--size", type=size, default=(96, 96))
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--prompts", type=int, default=2)
    report(parser.parse_args())
