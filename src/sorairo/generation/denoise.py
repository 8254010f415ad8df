"""Noise to latents: one window of a clip, denoised under its words and beside its known frames."""

# Letters: b batch (a sample, and with guidance its twin), c channels, t h w latent grid, l words, d their width

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.codec.model import Codec
from sorairo.flow.cache import CacheConfig, cached
from sorairo.flow.guidance import Scale, cfg, cfg_zero, guided, with_known
from sorairo.flow.path import data_at, interpolate, towards
from sorairo.flow.samplers import Sampler, sampler_named, shift_of_tokens
from sorairo.flow.schedule import sigmas_at
from sorairo.flow.solvers import Velocity
from sorairo.generation.timeline import KnownLatents
from sorairo.text.encoder import TextStates
from sorairo.transformer.experts import Experts
from sorairo.types import Plan, UserError

__all__ = [
    "denoise",
    "guidance_of",
    "levels_of",
    "noise_for",
    "noise_like",
    "noise_of",
    "sampler_of",
    "states_of",
]


def guidance_of(plan: Plan, model: Checkpoint) -> Scale:
    """The plan's, or the model's own: of two transformers each may have its scale. Source of these: Wan 2.2."""
    info, experts, sampler = model.info, model.transformer, sampler_of(plan, model)
    if plan.guidance is not None:
        return plan.guidance
    high, low = info.default_guidance, info.low_noise_guidance
    if low is None or not isinstance(experts, Experts):
        return high
    return lambda sigma: high if experts.is_high(sampler.timestep(sigma)) else low


def sampler_of(plan: Plan, model: Checkpoint) -> Sampler:
    """The plan's, with the model's own way to the shift, or the model's; one of few steps adds fresh noise at each."""
    if model.times:
        whole = all(float(time).is_integer() for time in model.times)
        return Sampler(name="lcm", spacing="unipc" if whole else "even")
    if plan.sampler is not None:
        return replace(sampler_named(plan.sampler), by_tokens=model.sampler.by_tokens)
    few = model.few_steps
    if few and few.grid and plan.steps == few.steps:
        return replace(model.sampler, grid=few.grid)
    return model.sampler


def levels_of(plan: Plan, model: Checkpoint) -> list[float]:
    """The falling noise levels of a plan that starts from noise, and 0."""
    if model.times:
        return sigmas_at(model.times)
    sampler, shift = sampler_of(plan, model), model.shift if plan.shift is None else plan.shift
    if sampler.by_tokens and plan.shift is None:
        side = model.codec.config.space_factor * model.transformer.config.patch_side
        tokens = model.info.chunk * (plan.size[0] // side) * (plan.size[1] // side)
        shift = shift_of_tokens(tokens, sampler.by_tokens)
    return sampler.sigmas(plan.steps or model.info.default_steps, shift)


def states_of(texts: list[TextStates], model: Checkpoint) -> tuple[torch.Tensor, torch.Tensor]:
    """(states of texts side by side (b l d), how many of each are words (b)), as a transformer takes them."""
    words = max(int(text.lengths[0]) for text in texts)
    states = torch.cat([text.states[:, :words] for text in texts]).to(model.device, model.dtype)  # b l d
    return states, torch.cat([text.lengths for text in texts]).to(model.device)


def denoise(
    model: Checkpoint,
    *,
    texts: list[TextStates],
    scale: Scale,
    noise: torch.Tensor,
    sigmas: list[float],
    sampler: Sampler,
    noises: torch.Generator,
    known: KnownLatents | None = None,
    conditions: Mapping[str, Any] | None = None,
    cache: CacheConfig | None = None,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Latents (1 c t h w), float32, from noise of that shape.

    texts: the prompt's states and the negative words'. noises: draws more noise, where the sampler adds some.
    known: frames to which the latents are led. conditions: further inputs of the transformer, see conditions.py.
    callback: (step, the predicted data 1 c t h w), after each step. Raises UserError at the step whose numbers are not
    finite.
    """
    inputs = conditions or {}
    states, lengths = states_of(texts, model)  # 2 l d, 2

    def predict(x: torch.Tensor, sigma: torch.Tensor | float, copies: int) -> torch.Tensor:
        """The velocity of x (1 c t h w) under the first `copies` texts, (copies c t h w)."""
        if isinstance(sigma, torch.Tensor):
            timestep = 1000 * sigma
            timestep = (timestep.floor() if sampler.whole_times else timestep).expand(copies, -1)  # copies t
        else:
            timestep = torch.full((copies,), sampler.timestep(sigma), device=x.device)
        seen = x.to(model.dtype).expand(copies, -1, -1, -1, -1)
        made = model.transformer(
            seen, timestep, states[:copies], lengths[:copies], **_of(inputs, copies)
        ).float()
        return towards(x, made, sigma) if model.predicts == "data" else made

    def prompted(x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
        return predict(x, sigma, 1)

    def both(x: torch.Tensor, sigma: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        with_words, without = predict(x, sigma, 2).chunk(2)
        return with_words, without

    noise = noise.to(model.device, copy=True)

    def fresh() -> torch.Tensor:
        """New noise, in the place of the old, so that known frames are led along it too."""
        return noise.copy_(torch.randn(noise.shape, generator=noises))

    solve = sampler.solver(fresh)
    by = cfg_zero if model.info.zero_star else cfg
    velocity: Velocity = guided(both, prompted, scale, interval=model.info.guidance_interval, by=by)
    velocity = cached(velocity, sigmas, cache)
    watch = Watch(len(sigmas) - 1, callback)
    if known is None:
        return solve(watch.of(velocity), noise, sigmas, watch.after)
    own_levels = bool({"frames", "levels"} & set(model.info.conditioning))
    trained = torch.full_like(known.cap, own_levels, dtype=torch.bool)
    trained[:, 0] |= bool({"first", "begin"} & set(model.info.conditioning))
    velocity = with_known(velocity, known.latents, noise, known.cap, own=trained, pinned=known.pinned)
    free = bool((known.cap == 1).any())
    start = noise if free else interpolate(known.latents, noise, sigmas[0])
    return solve(watch.of(velocity), start, sigmas, watch.after)


def _of(inputs: Mapping[str, Any], copies: int) -> Mapping[str, Any]:
    """The inputs of the first `copies` texts; a scene belongs to the prompt, and there is none without words."""
    return {**inputs, "scene": inputs["scene"][:copies]} if "scene" in inputs else inputs


class Watch:
    """Checks that the numbers of every step are finite, and passes on the data that the step predicts."""

    def __init__(self, steps: int, callback: Callable[[int, torch.Tensor], None] | None) -> None:
        self.steps, self.callback = steps, callback
        self.data = torch.empty(0)

    def of(self, velocity: Velocity) -> Velocity:
        """The same velocity; the data (1 c t h w) that it points at are remembered."""

        def watched(x: torch.Tensor, sigma: float) -> torch.Tensor:
            speed = velocity(x, sigma)
            self.data = data_at(x, speed, sigma)
            return speed

        return watched

    def after(self, step: int, x: torch.Tensor) -> None:
        """The solver's callback. Raises UserError."""
        if not bool(torch.isfinite(x).all()):
            raise UserError(
                f"Step {step + 1} of {self.steps} gave numbers that are not finite, which would be a black video; try"
                " --dtype fp32, or other weights or LoRAs."
            )
        if self.callback:
            self.callback(step, self.data)


def noise_for(plan: Plan, codec: Codec) -> torch.Tensor:
    """The noise (1 c t h w) that a plan of one window starts from: float32, drawn on the CPU from its seed alone."""
    return noise_of(plan.size, plan.frames, codec, torch.Generator().manual_seed(plan.seed))


def noise_of(size: tuple[int, int], frames: int, codec: Codec, generator: torch.Generator) -> torch.Tensor:
    """Noise (1 c t h w) for 1 + step k frames of a size (width, height) in pixels."""
    return noise_like(size, 1 + (frames - 1) // codec.config.time_factor, codec, generator)


def noise_like(
    size: tuple[int, int], latent_frames: int, codec: Codec, generator: torch.Generator
) -> torch.Tensor:
    """Noise (1 c t h w) for t latent frames of a size (width, height) in pixels."""
    side, (width, height) = codec.config.space_factor, size
    shape = (1, codec.config.z_dim, latent_frames, height // side, width // side)
    return torch.randn(shape, generator=generator)
