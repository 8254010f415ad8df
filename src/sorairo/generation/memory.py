"""A clip chunk by chunk beside a memory of the last frames (Helios): as long as wanted, at the same cost all along."""

# Letters: b batch (1), c channels, t h w latent grid, n frames, H W pixels

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.flow.cache import CacheConfig
from sorairo.flow.guidance import cfg
from sorairo.flow.path import interpolate
from sorairo.flow.pyramid import descend
from sorairo.flow.samplers import shift_of_tokens
from sorairo.flow.windows import Window
from sorairo.generation.denoise import (
    denoise,
    guidance_of,
    levels_of,
    noise_like,
    sampler_of,
    states_of,
)
from sorairo.generation.pieces import AtStep, InPieces
from sorairo.generation.timeline import Timeline
from sorairo.pixels import from_frames, to_frames
from sorairo.text.encoder import TextStates
from sorairo.transformer.helios import CHUNK, MEMORY, Memory
from sorairo.types import Plan, Video

__all__ = ["RememberedDenoising"]

BLUR = (0.111, 0.135)
"""The known frames are noised to a level between these, so that they look like made ones. Source: diffusers'
HeliosPipeline."""


class RememberedDenoising(InPieces):
    """One plan of a Helios. steps: in all chunks.

    Known frames at the beginning are remembered, and the clip goes on behind them. Each chunk is a clip of its own to
    the codec. The same numbers as diffusers' HeliosPipeline, and HeliosPyramidPipeline where the sampler is a pyramid.
    """

    def __init__(
        self, plan: Plan, model: Checkpoint, texts: dict[str, TextStates], cache: CacheConfig | None = None
    ) -> None:
        self.plan, self.model, self.texts, self.cache = plan, model, texts, cache
        self.timeline = Timeline(plan, model.codec.config.time_factor, mends=False)
        self.frames_at_once = 1 + self.timeline.step * (CHUNK - 1)
        self.known = int(self.timeline.given.sum())  # all at the beginning; abilities see to it
        self.sampler, self.sigmas = sampler_of(plan, model), levels_of(plan, model)
        self.chunks = -(-(plan.frames - self.known) // self.frames_at_once)
        self.steps = sum(map(self.steps_of, range(self.chunks)))

    def steps_of(self, chunk: int) -> int:
        """Steps of a chunk. A pyramid takes twice as many for the first one, as Helios-Distilled is meant to."""
        pyramid = self.sampler.pyramid
        if pyramid is None:
            return len(self.sigmas) - 1
        each = max(1, round((len(self.sigmas) - 1) / pyramid.stages))
        return pyramid.stages * each * (2 if chunk == 0 else 1)

    def pieces(self, at_step: AtStep = lambda step, data: None) -> Iterator[Video]:
        """The known frames, then those of each chunk, as soon as they are made."""
        model, plan, done = self.model, self.plan, 0
        noises = torch.Generator().manual_seed(plan.seed)
        first, last = self.remembered(noises)
        if self.known:
            yield Video(frames=self.timeline.frames[: self.known], fps=plan.fps)
        for chunk in range(self.chunks):
            start = self.known + chunk * self.frames_at_once
            stop = start + self.frames_at_once
            frames = Window(start=start, stop=stop, first=start, last=stop)
            texts = [self.texts[text] for text in (self.timeline.words(frames), plan.negative)]
            memory = memory_of(first, last)
            latents = self._made(
                chunk,
                texts,
                memory,
                noises,
                lambda step, data, before=done: at_step(before + step + 1, data),
            )
            done += self.steps_of(chunk)
            if chunk == 0 and not self.known:
                first = latents[:, :, :1]
            last = torch.cat([last, latents], dim=2)[:, :, -sum(MEMORY) :]
            pixels = model.pixels(latents)  # 1 3 n H W
            self.timeline.add(frames, to_frames(pixels)[0], latents)
            yield Video(frames=self.timeline.frames[start : min(stop, plan.frames)], fps=plan.fps)

    def _made(
        self,
        chunk: int,
        texts: list[TextStates],
        memory: Memory,
        noises: torch.Generator,
        callback: Callable[[int, torch.Tensor], None],
    ) -> torch.Tensor:
        """Latents (1 c t h w) of a chunk."""
        model, plan, pyramid = self.model, self.plan, self.sampler.pyramid
        noise, scale = noise_like(plan.size, CHUNK, model.codec, noises), guidance_of(plan, model)
        if pyramid is None:
            return denoise(
                model,
                texts=texts,
                scale=scale,
                noise=noise,
                sigmas=self.sigmas,
                sampler=self.sampler,
                noises=noises,
                conditions={"memory": memory},
                cache=self.cache,
                callback=callback,
            )
        assert isinstance(scale, float | int), "of one transformer"
        copies, side = 1 if scale == 1 else 2, model.transformer.config.patch_side
        states, lengths = states_of(texts[:copies], model)

        def velocity(x: torch.Tensor, timestep: int) -> torch.Tensor:
            seen = x.to(model.dtype).expand(copies, -1, -1, -1, -1)
            time = torch.full((copies,), float(timestep), device=model.device)
            made = model.transformer(seen, time, states, lengths, memory=memory).float()
            if copies == 1:
                return made
            with_words, without = made.chunk(2)
            return cfg(with_words, without, scale)

        def shift(x: torch.Tensor) -> float:
            if not self.sampler.by_tokens:
                return 1.0
            return shift_of_tokens(x[0, 0].numel() // side**2, self.sampler.by_tokens)

        return descend(
            velocity,
            noise.to(model.device),
            pyramid,
            steps=self.steps_of(chunk) // pyramid.stages,
            shift=shift,
            side=side,
            noises=noises,
            callback=callback,
        )

    def remembered(self, noises: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Latents of the clip's first frame (1 c 1 h w) and of the last ones (1 c t h w), zeros where nothing is known.

        A clip that is shorter than a chunk is remembered by its last frame alone, as a picture is.
        """
        model = self.model
        blank = noise_like(self.plan.size, sum(MEMORY), model.codec, torch.Generator()).to(model.device) * 0
        if not self.known:
            return blank[:, :, :1], blank
        frames = from_frames(self.timeline.frames[: self.known])  # 1 3 n H W
        first = blurred(self.encoded(frames[:, :, :1]), noises, 1)
        whole = self.known // self.frames_at_once * self.frames_at_once
        if not whole:
            still = frames[:, :, -1:].expand(-1, -1, self.frames_at_once, -1, -1)
            parts = [blurred(self.encoded(still)[:, :, -1:], noises, 1)]
        else:
            clips = frames[:, :, self.known - whole :].split(self.frames_at_once, dim=2)
            encoded = [self.encoded(clip) for clip in clips]
            parts = [blurred(latents, noises, CHUNK) for latents in encoded]
        return first, torch.cat([blank, *parts], dim=2)[:, :, -sum(MEMORY) :]

    def encoded(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.model.codec.encode(pixels.to(self.model.device, self.model.dtype)).float()


def memory_of(first: torch.Tensor, last: torch.Tensor) -> Memory:
    """What the transformer is told. last: (1 c t h w), as many as it remembers."""
    return Memory(first, *last.split(MEMORY, dim=2))


def blurred(latents: torch.Tensor, noises: torch.Generator, levels: int) -> torch.Tensor:
    """Latents (1 c t h w) with a little noise, of one level or of one for each of t frames."""
    low, high = BLUR
    sigma = torch.rand(levels, generator=noises) * (high - low) + low
    noise = torch.randn(latents.shape, generator=noises)
    sigma = sigma.expand(latents.shape[2])[None].to(latents.device)
    return interpolate(latents, noise.to(latents.device), sigma)
