"""Diffusion in whole timesteps, as DDPM and DDIM have it: DiT's sampling. Sorairo's own models use solvers.py."""

# Notation: abar(t) = product of 1 - beta up to t (Ho et al. 2020); x_t = sqrt(abar) data + sqrt(1 - abar) noise

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Literal

import torch

__all__ = ["Betas", "Model", "Noise", "ddim", "ddim_step", "ddpm", "ddpm_step", "guide", "timesteps"]

# model(x (b c h w), timestep) -> what `predicts` says (b c h w), or that and the learned variance (b 2c h w)
Model = Callable[[torch.Tensor, int], torch.Tensor]
# noise(shape) -> standard normal values of that shape
Noise = Callable[[torch.Size], torch.Tensor]
Callback = Callable[[int, torch.Tensor], None]


@dataclass(frozen=True, kw_only=True)
class Betas:
    """How much noise each training step adds, and how a sampler walks back over a part of them.

    variance: of ddpm's steps; "learned_range" lies between the two fixed ones by the model's word where its output
    carries one, and is "fixed_small" where not. clip: data predictions are held in [-clip, clip]. data_at_end: the
    last ddim step goes all the way to the data rather than to the first noise level.
    """

    steps: int = 1000
    start: float = 0.0001
    end: float = 0.02
    shape: Literal["linear", "scaled_linear"] = "linear"
    predicts: Literal["noise", "data", "velocity"] = "noise"
    variance: Literal["fixed_small", "fixed_large", "learned_range"] = "fixed_small"
    spacing: Literal["leading", "trailing", "linspace"] = "leading"
    offset: int = 0
    clip: float | None = None
    data_at_end: bool = True

    @cached_property
    def abar(self) -> torch.Tensor:
        """abar(t) for every t: (steps), float32."""
        if self.shape == "linear":
            betas = torch.linspace(self.start, self.end, self.steps)
        else:
            betas = torch.linspace(self.start**0.5, self.end**0.5, self.steps) ** 2
        return torch.cumprod(1 - betas, dim=0)

    def abar_at(self, t: int, end: float = 1.0) -> float:
        """abar(t), or `end` where t is past the last step."""
        return self.abar[t].item() if t >= 0 else end


def timesteps(betas: Betas, steps: int) -> list[int]:
    """The whole timesteps that a sampler visits, falling. Source: Lin et al. 2023, table 2."""
    if not 1 <= steps <= betas.steps:
        raise ValueError(f"steps is {steps}; it must be from 1 to {betas.steps}.")
    if betas.spacing == "leading":
        return [i * (betas.steps // steps) + betas.offset for i in reversed(range(steps))]
    if betas.spacing == "trailing":
        return [round(betas.steps - i * betas.steps / steps) - 1 for i in range(steps)]
    step = (betas.steps - 1) / max(steps - 1, 1)
    return [round(i * step) for i in reversed(range(steps))]


def ddim_step(
    betas: Betas,
    output: torch.Tensor,
    x: torch.Tensor,
    here: int,
    there: int,
    eta: float,
    noise: Noise | None,
) -> torch.Tensor:
    """x at `there` (below 0: the end) from x and the model's output at `here`.

    Source: Song et al. 2020, equation 12.
    """
    end = 1.0 if betas.data_at_end else betas.abar_at(0)
    a, b = betas.abar_at(here), betas.abar_at(there, end)
    data, predicted = _data_and_noise(betas, output, x, a)
    variance = eta**2 * (1 - b) / (1 - a) * (1 - a / b)  # equation 16
    x = b**0.5 * data + (1 - b - variance) ** 0.5 * predicted
    if eta > 0:
        assert noise is not None
        x = x + variance**0.5 * noise(x.shape).to(x)
    return x


def ddpm_step(
    betas: Betas, output: torch.Tensor, x: torch.Tensor, here: int, there: int, noise: Noise
) -> torch.Tensor:
    """x at `there` (below 0: the end) from x and the model's output at `here`, noise added on the way.

    Source: Ho et al. 2020, equation 7; the learned variance: Nichol & Dhariwal 2021, equation 15.
    """
    output, fraction = _split(output, x)
    a, b = betas.abar_at(here), betas.abar_at(there)
    beta = 1 - a / b
    data, _ = _data_and_noise(betas, output, x, a)
    mean = (b**0.5 * beta * data + (a / b) ** 0.5 * (1 - b) * x) / (1 - a)
    if here == 0:
        return mean
    small = max((1 - b) / (1 - a) * beta, 1e-20)
    if betas.variance == "learned_range" and fraction is not None:
        share = (fraction + 1) / 2
        deviation = (beta**share * small ** (1 - share)) ** 0.5
    else:
        deviation = (beta if betas.variance == "fixed_large" else small) ** 0.5
    return mean + deviation * noise(x.shape).to(x)


def ddim(
    model: Model,
    x: torch.Tensor,
    betas: Betas,
    steps: int,
    *,
    eta: float = 0.0,
    noise: Noise | None = None,
    callback: Callback | None = None,
) -> torch.Tensor:
    """From noise x (b c h w) to data along `steps` timesteps; eta 0 adds no noise on the way, 1 as much as ddpm.

    The same numbers as diffusers' DDIMScheduler. noise is needed where eta > 0.
    """
    for step, t in enumerate(timesteps(betas, steps)):
        output, _ = _split(model(x, t), x)
        # a fixed stride, whatever the spacing: diffusers' way
        x = ddim_step(betas, output, x, t, t - betas.steps // steps, eta, noise)
        if callback:
            callback(step, x)
    return x


def ddpm(
    model: Model,
    x: torch.Tensor,
    betas: Betas,
    steps: int,
    *,
    noise: Noise,
    callback: Callback | None = None,
) -> torch.Tensor:
    """From noise x (b c h w) to data along `steps` timesteps, with fresh noise at each: ancestral sampling.

    The same numbers as diffusers' DDPMScheduler.
    """
    for step, (here, there) in enumerate(pairwise([*timesteps(betas, steps), -1])):
        x = ddpm_step(betas, model(x, here), x, here, there, noise)
        if callback:
            callback(step, x)
    return x


def guide(asked: torch.Tensor, other: torch.Tensor, scale: float, channels: int) -> torch.Tensor:
    """Guidance of the first `channels`; what the model says of the variance stays as asked: (b c h w).

    Source: Ho & Salimans 2022, equation 6.
    """
    guided = other[:, :channels] + scale * (asked[:, :channels] - other[:, :channels])
    return torch.cat([guided, asked[:, channels:]], dim=1)


def _split(output: torch.Tensor, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The model's prediction, and where between the fixed variances it puts its own (-1 to 1), if it does."""
    if output.shape[1] == 2 * x.shape[1]:
        prediction, fraction = output.chunk(2, dim=1)
        return prediction, fraction
    return output, None


def _data_and_noise(
    betas: Betas, output: torch.Tensor, x: torch.Tensor, a: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """What x is made of, by the model's prediction; the data within the clip."""
    signal, spread = a**0.5, (1 - a) ** 0.5
    if betas.predicts == "noise":
        data, noise = (x - spread * output) / signal, output
    elif betas.predicts == "data":
        data, noise = output, (x - signal * output) / spread
    else:
        data, noise = signal * x - spread * output, signal * output + spread * x
    if betas.clip is not None:
        data = data.clamp(-betas.clip, betas.clip)
    return data, noise
