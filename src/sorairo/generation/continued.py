"""A clip window by window, each going on from the last frames of the one before (LongCat-Video)."""

# Letters: b batch (1), c channels, t h w latent grid, n frames, H W pixels

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.flow.cache import CacheConfig
from sorairo.flow.schedule import with_even_tail
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
from sorairo.generation.timeline import KnownLatents, Timeline
from sorairo.pixels import from_frames, to_frames
from sorairo.text.encoder import TextStates
from sorairo.transformer.causal import History
from sorairo.transformer.longcat import CONTEXT, WINDOW
from sorairo.types import Plan, Video

__all__ = ["ContinuedDenoising"]


@dataclass(frozen=True, kw_only=True)
class Piece:
    """frames: of a window, those from `first` up to `last` new. before: latent frames of what it goes on from."""

    frames: Window
    before: int
    sigmas: list[float]


class ContinuedDenoising(InPieces):
    """One plan of a LongCat. steps: in all windows.

    A window goes on from up to 13 frames, known or made, in whole latent frames, which it sees without noise. Of one
    picture they are computed beside the new frames; of more they are held as keys and values, which is the same and
    costs one pass for all steps. The numbers are those of the authors' generate_t2v, generate_i2v and generate_vc, with
    the mean of what their codec says of known frames in place of a draw.
    """

    def __init__(
        self, plan: Plan, model: Checkpoint, texts: dict[str, TextStates], cache: CacheConfig | None = None
    ) -> None:
        self.plan, self.model, self.texts, self.cache = plan, model, texts, cache
        self.timeline = Timeline(plan, model.codec.config.time_factor, mends=False)
        self.known = int(self.timeline.given.sum())  # all at the beginning; abilities see to it
        self.sampler, sigmas = sampler_of(plan, model), levels_of(plan, model)
        tailed = with_even_tail(sigmas) if self.sampler.tail and not self.sampler.grid else sigmas
        self.parts = [
            Piece(frames=frames, before=before, sigmas=tailed if before > 1 else sigmas)
            for frames, before in self._windows()
        ]
        self.steps = sum(len(part.sigmas) - 1 for part in self.parts)

    def _windows(self) -> Iterator[tuple[Window, int]]:
        """(frames of a window, latent frames of what it goes on from), in order. Other words begin a window."""
        step, first = self.timeline.step, self.known
        longest = 1 + (min(WINDOW, self.model.info.max_frames) - 1) // step * step
        cuts = [span.start for span in self.plan.spans[1:]]
        most = 1 + (min(CONTEXT, longest - step) - 1) // step  # latent frames
        while first < self.plan.frames:
            before = min(most, 1 + (first - 1) // step) if first else 0
            start = first - (1 + step * (before - 1)) if before else 0
            stop = min(start + longest, *(cut for cut in cuts if cut > first), self.plan.frames)
            whole = start + 1 + -(-(stop - start - 1) // step) * step
            yield Window(start=start, stop=whole, first=first, last=stop), before
            first = stop

    def pieces(self, at_step: AtStep = lambda step, data: None) -> Iterator[Video]:
        """The known frames, then those of each window, as soon as they are made."""
        plan, done = self.plan, 0
        noises = torch.Generator().manual_seed(plan.seed)
        if self.known:
            yield Video(frames=self.timeline.frames[: self.known], fps=plan.fps)
        for part in self.parts:
            latents = self._made(
                part, noises, lambda step, data, before=done: at_step(before + step + 1, data)
            )
            done += len(part.sigmas) - 1
            pixels = self.model.pixels(latents)  # 1 3 n H W
            self.timeline.add(part.frames, to_frames(pixels)[0], latents)
            yield Video(frames=self.timeline.frames[part.frames.first : part.frames.last], fps=plan.fps)

    def _made(self, part: Piece, noises: torch.Generator, callback: AtStep) -> torch.Tensor:
        """Latents (1 c t h w) of a window, those that it goes on from among them."""
        model, plan, frames = self.model, self.plan, part.frames
        texts = [self.texts[text] for text in (self.timeline.words(frames), plan.negative)]
        count = 1 + (frames.stop - frames.start - 1) // self.timeline.step
        given: dict[str, Any] = {}
        known, before = None, None
        if part.before:
            pixels = from_frames(self.timeline.frames[frames.start : frames.first])  # 1 3 n H W
            before = model.codec.encode(pixels.to(model.device, model.dtype)).float()
        if before is not None and part.before == 1:
            cap = torch.ones(1, count, device=model.device)
            cap[:, 0] = 0
            whole = before.new_zeros(*before.shape[:2], count, *before.shape[3:])
            whole[:, :, :1] = before
            known, given = KnownLatents(latents=whole, cap=cap, pinned=None), {"known": 1}
        elif before is not None:
            given = {"sight": self._history(before, texts)}
            count -= part.before
        latents = denoise(
            model,
            texts=texts,
            scale=guidance_of(plan, model),
            noise=noise_like(plan.size, count, model.codec, noises),
            sigmas=part.sigmas,
            sampler=self.sampler,
            noises=noises,
            known=known,
            conditions=given,
            cache=self.cache,
            callback=callback,
        )
        return latents if before is None or part.before == 1 else torch.cat([before, latents], dim=2)

    def _history(self, latents: torch.Tensor, texts: list[TextStates]) -> History:
        """Latents (1 c t h w) without noise, as keys and values; they are the same for all words."""
        model = self.model
        history = History(model.transformer.config.layers)
        states, lengths = states_of(texts[:1], model)
        history.keep = True
        model.transformer(
            latents.to(model.dtype), torch.zeros(1, device=model.device), states, lengths, sight=history
        )
        history.keep = False
        return history
