"""A clip chunk by chunk, for models that look back only: each chunk is shown before the next one is begun."""

# Letters: b batch, c channels, t h w latent grid, l words, d their width, n frames, H W pixels

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.flow.cache import CacheConfig
from sorairo.flow.schedule import from_level
from sorairo.flow.windows import Window
from sorairo.generation.denoise import denoise, guidance_of, levels_of, noise_like, sampler_of, states_of
from sorairo.generation.pieces import AtStep, InPieces
from sorairo.generation.timeline import KnownLatents, Timeline
from sorairo.nn.causal_conv import TimeCache
from sorairo.pixels import to_frames
from sorairo.text.encoder import TextStates
from sorairo.transformer.causal import History
from sorairo.transformer.experts import Experts
from sorairo.types import Plan, UserError, Video

__all__ = ["ChunkedDenoising"]


class ChunkedDenoising(InPieces):
    """One plan of a model whose frames see their chunk and what came before (ModelInfo.chunk). steps: in all chunks.

    Known frames at the beginning are given to the model as they are; later ones are led to. The cost of a chunk and
    what is held between chunks do not depend on the clip's length, where the model's reach is bounded.
    """

    def __init__(
        self, plan: Plan, model: Checkpoint, texts: dict[str, TextStates], cache: CacheConfig | None = None
    ) -> None:
        if isinstance(model.transformer, Experts):
            raise UserError(
                f"{model.info.name} has two transformers, which cannot take turns chunk by chunk."
            )
        self.plan, self.model, self.texts, self.cache = plan, model, texts, cache
        self.timeline = Timeline(plan, model.codec.config.time_factor, mends=False)
        step = self.timeline.step
        self.latent_frames = 1 + -(-(plan.frames - 1) // step)
        unknown = np.flatnonzero(self.timeline.level > 0)
        first = int(unknown[0]) if len(unknown) else plan.frames
        self.whole = Window(start=0, stop=1 + step * (self.latent_frames - 1), first=first, last=plan.frames)
        self.chunks = list(chunks_of(self.latent_frames, 1 + (first - 1) // step, model.info.chunk))
        self.sampler = sampler_of(plan, model)
        top = self.timeline.top(self.whole) if len(unknown) else 1.0
        self.sigmas = from_level(levels_of(plan, model), top)
        made = sum(stop > 1 + (first - 1) // step for _, stop in self.chunks) if len(unknown) else 0
        self.steps = made * (len(self.sigmas) - 1)

    def pieces(self, at_step: AtStep = lambda step, data: None) -> Iterator[Video]:
        """The frames of each chunk, as soon as they are made."""
        model, plan, done = self.model, self.plan, 0
        noises, decoded = torch.Generator().manual_seed(plan.seed), TimeCache()
        info = model.info
        history = History(model.transformer.config.layers, reach=info.reach, sink=info.sink)
        known = self.timeline.known(self.whole, model.codec, model.device, model.dtype)
        scale = guidance_of(plan, model)
        for start, stop in self.chunks:
            frames = self._frames(start, stop)
            texts = [self.texts[text] for text in (self.timeline.words(frames), plan.negative)]
            here = part_of(known, start, stop)
            if here is not None and not bool(here.cap.any()):
                latents = here.latents
            else:
                latents = denoise(
                    model,
                    texts=texts,
                    scale=scale,
                    noise=noise_like(plan.size, stop - start, model.codec, noises),
                    sigmas=self.sigmas,
                    sampler=self.sampler,
                    noises=noises,
                    known=here,
                    conditions={"sight": history},
                    cache=self.cache,
                    callback=lambda step, data, before=done: at_step(before + step + 1, data),
                )
                done += len(self.sigmas) - 1
            if stop < self.latent_frames:
                remember(model, latents, texts[: 1 if scale == 1 else 2], history)
            pixels = model.codec.decode(latents.to(model.dtype), decoded)  # 1 3 n H W
            self.timeline.add(frames, to_frames(pixels)[0], latents)
            end = min(frames.stop, plan.frames)
            yield Video(frames=self.timeline.frames[frames.start : end], fps=plan.fps)

    def _frames(self, start: int, stop: int) -> Window:
        """The frames of latent frames `start` up to `stop`."""
        first, last = (0 if group == 0 else 1 + self.timeline.step * (group - 1) for group in (start, stop))
        return Window(start=first, stop=last, first=first, last=last)


def chunks_of(frames: int, known: int, chunk: int) -> Iterator[tuple[int, int]]:
    """(start, stop) of each chunk of latent frames. known: those at the beginning, which are chunks of their own."""
    start = 0
    while start < frames:
        stop = min(start + chunk, known if start < known else frames)
        yield start, stop
        start = stop


def part_of(known: KnownLatents | None, start: int, stop: int) -> KnownLatents | None:
    """What is known of latent frames `start` up to `stop`; None for nothing."""
    if known is None or bool((known.cap[:, start:stop] == 1).all()):
        return None
    pinned = None if known.pinned is None else known.pinned[:, :, start:stop]
    return replace(
        known, latents=known.latents[:, :, start:stop], cap=known.cap[:, start:stop], pinned=pinned
    )


def remember(model: Checkpoint, latents: torch.Tensor, texts: list[TextStates], history: History) -> None:
    """Let a history hold latents (1 c t h w), which the model sees without noise, under each of the texts."""
    states, lengths = states_of(texts, model)
    seen = latents.to(model.dtype).expand(len(texts), -1, -1, -1, -1)
    history.keep = True
    model.transformer(seen, torch.zeros(len(texts), device=model.device), states, lengths, sight=history)
    history.keep = False
