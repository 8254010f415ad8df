"""Any Plan into video: words, noise, latents, frames. There is one path, whatever the task.

from sorairo.generate import load
load("default").generate("a red ball bounces", seconds=2).save("out.mp4")
"""

# Letters: b batch (a sample, and with guidance its twin), c channels, t h w latent grid, l words, d their width

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import numpy as np
import torch

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.checkpoints.given import given_frames
from sorairo.codec.model import Codec
from sorairo.flow.cache import CacheConfig, cached
from sorairo.flow.guidance import Scale, guided, with_known
from sorairo.flow.path import interpolate
from sorairo.flow.schedule import from_level, sigmas_at, timestep_of, unipc_sigmas
from sorairo.flow.solvers import Velocity, renoise, unipc
from sorairo.flow.windows import Window
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.text.encoder import TextStates
from sorairo.timeline import KnownLatents, Timeline
from sorairo.transformer.experts import Experts
from sorairo.types import Plan, Sample, Video

__all__ = ["Clip", "Model", "Progress", "generate", "load", "noise_for", "to_frames"]

Progress = Callable[[str, int, int], None]  # (stage, done, of)
Texts = dict[str, TextStates]


@dataclass(frozen=True, kw_only=True, eq=False)
class Clip(Sample):
    """A Sample that can be written."""

    def save(self, path: str | Path) -> None:
        """To .mp4, .gif, .webp or .png, with its prompt, seed and model inside the file."""
        from sorairo.plans import plan_to_dict
        from sorairo.video.write import write_video

        width, height = self.plan.size
        facts = {"prompt": self.plan.spans[0].text, "seed": self.plan.seed, "model": self.model}
        facts |= {"size": f"{width}x{height}", "frames": self.plan.frames, "plan": plan_to_dict(self.plan)}
        write_video(self.video, path, facts)


@dataclass(frozen=True, kw_only=True, eq=False)
class Model(Checkpoint):
    """A Checkpoint that can be asked."""

    def generate(
        self,
        prompt: str,
        *,
        size: tuple[int, int] | None = None,
        seconds: float | None = None,
        frames: int | None = None,
        seed: int = 0,
        steps: int | None = None,
        guidance: float | None = None,
        negative: str = "",
        progress: Progress | None = None,
    ) -> Clip:
        """A clip from words; see Ask for what may be asked, tasks/ for other verbs. Raises UserError."""
        ask = Ask(
            size=size,
            seconds=seconds,
            frames=frames,
            seed=seed,
            steps=steps,
            guidance=guidance,
            negative=negative,
        )
        return generate(text_to_video(prompt, self.abilities, ask), self, progress)[0]


def load(name_or_folder: str | Path = "default", dtype: str = "auto", device: str = "cpu") -> Model:
    """A model that ships in the package, by name, or one in a folder. Raises UserError."""
    checkpoint = load_checkpoint(name_or_folder, dtype, device)
    return Model(**{field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)})


@torch.inference_mode()
def generate(
    plans: Plan | Iterable[Plan],
    model: Checkpoint,
    progress: Progress | None = None,
    cache: CacheConfig | None = None,
) -> list[Clip]:
    """A clip for every plan, in order. progress is told (stage, done, of) as stages go on. cache: see `cached`.

    Clips are made one after another: products of another batch size round differently, and a seed is to mean the
    same frames whatever is made beside it. A clip is made window by window, each from what is known by then; of
    most plans there is one window. Raises UserError, before any work, for what the model cannot make.
    """
    plans = [plans] if isinstance(plans, Plan) else list(plans)
    for plan in plans:
        model.abilities.check(plan)
    tell = progress or (lambda stage, done, of: None)

    start = time.perf_counter()
    tell("text", 0, 1)
    texts = encode_texts(plans, model)
    model.text.rest()
    tell("text", 1, 1)
    timings = [{"text": (time.perf_counter() - start) / len(plans)} for _ in plans]

    films = [Film(plan, model, texts, cache) for plan in plans]
    done, total = 0, sum(film.steps for film in films)
    for film, times in zip(films, timings, strict=True):
        start = time.perf_counter()
        tell("denoise", done, total)
        film.shoot(lambda step, before=done: tell("denoise", before + step, total))
        done += film.steps
        times["denoise"] = time.perf_counter() - start

    clips = []
    for index, (film, times) in enumerate(zip(films, timings, strict=True)):
        start = time.perf_counter()
        tell("decode", index, len(films))
        video = film.finish()
        tell("decode", index + 1, len(films))
        times["decode"] = time.perf_counter() - start
        clips.append(
            Clip(
                video=video,
                plan=film.plan,
                model=model.info.name,
                timings=times,
                notes=notes(film.plan, model),
            )
        )
    return clips


class Film:
    """A plan on its way to being a video. steps: how many the solver will take."""

    def __init__(self, plan: Plan, model: Checkpoint, texts: Texts, cache: CacheConfig | None = None) -> None:
        self.plan, self.model, self.texts, self.cache = plan, model, texts, cache
        self.timeline = Timeline(
            plan, model.codec.config.time_factor, mends="frames" in model.info.conditioning
        )
        # what a model is told of beside the noise is told of the whole clip
        told = model.transformer.config.condition_channels > 0
        self.windows = self.timeline.whole() if told else self.timeline.windows(model.info.max_frames)
        steps = plan.steps or model.info.default_steps
        schedule = sigmas_at(model.times) if model.times else unipc_sigmas(steps, model.shift)
        self.sigmas = [from_level(schedule, self.timeline.top(window)) for window in self.windows]
        self.steps = sum(len(sigmas) - 1 for sigmas in self.sigmas)
        self.latents: torch.Tensor | None = None  # 1 c t h w, of the last window

    def shoot(self, told: Callable[[int], None]) -> None:
        """Make the latents of every window, and the frames of all but the last one. told: (steps done)."""
        noises, done = torch.Generator().manual_seed(self.plan.seed), 0
        for index, (window, sigmas) in enumerate(zip(self.windows, self.sigmas, strict=True)):
            if self.latents is not None:
                self._develop(self.windows[index - 1], self.latents)
            frames = window.stop - window.start
            given = given_frames(self.model, self.plan.size, frames, self.plan.known)
            known = None if given else self._known(window)
            self.latents = denoise(
                self.model,
                texts=[self.texts[text] for text in (self.timeline.words(window), self.plan.negative)],
                scale=guidance_of(self.plan, self.model),
                noise=noise_of(self.plan.size, frames, self.model.codec, noises),
                sigmas=sigmas,
                noises=noises,
                known=known,
                given=given,
                cache=self.cache,
                callback=lambda step, _, before=done: told(before + step + 1),
            )
            done += len(sigmas) - 1

    def finish(self) -> Video:
        """The whole video."""
        if self.latents is not None:
            self._develop(self.windows[-1], self.latents)
        return Video(frames=self.timeline.frames, fps=self.plan.fps)

    def _known(self, window: Window) -> KnownLatents | None:
        return self.timeline.known(window, self.model.codec, self.model.device, self.model.dtype)

    def _develop(self, window: Window, latents: torch.Tensor) -> None:
        pixels = self.model.codec.decode(latents.to(self.model.dtype))  # 1 3 n h w
        self.timeline.add(window, to_frames(pixels)[0], latents)


def encode_texts(plans: list[Plan], model: Checkpoint) -> Texts:
    """The states of every text of the plans, each alone (so that none depends on another), once."""
    texts = [text for plan in plans for text in (*(span.text for span in plan.spans), plan.negative)]
    return {text: model.text.encode([text]) for text in dict.fromkeys(texts)}


def guidance_of(plan: Plan, model: Checkpoint) -> Scale:
    """The plan's, or the model's own: of two transformers each may have its scale. Source of these: Wan 2.2."""
    info, experts = model.info, model.transformer
    if plan.guidance is not None:
        return plan.guidance
    high, low = info.default_guidance, info.low_noise_guidance
    if low is None or not isinstance(experts, Experts):
        return high
    return lambda sigma: high if experts.is_high(timestep_of(sigma)) else low


def notes(plan: Plan, model: Checkpoint) -> tuple[str, ...]:
    """What is done otherwise than the model was trained for, a sentence each."""
    given = [known for known in plan.known if known.hold == 1 and known.region is None]
    ends = {"first": 0, "last": plan.frames - 1}
    places = {ends[end] for end in model.info.conditioning if end in ends}
    as_trained = all(known.at in places and len(known.video) == 1 for known in given)
    short = not plan.loop and plan.frames <= model.info.max_frames and len(plan.spans) == 1
    if (not given and short) or "frames" in model.info.conditioning:
        return ()
    if as_trained and short:
        return ()
    return (
        f"{model.info.name} was not trained to be given these frames: they are put in at every step, as noisy as "
        "all else is, and what is made may not follow them closely.",
    )


def denoise(
    model: Checkpoint,
    *,
    texts: list[TextStates],
    scale: Scale,
    noise: torch.Tensor,
    sigmas: list[float],
    noises: torch.Generator,
    known: KnownLatents | None = None,
    given: Mapping[str, torch.Tensor] | None = None,
    cache: CacheConfig | None = None,
    callback: Callable[[int, torch.Tensor], None] | None = None,
) -> torch.Tensor:
    """Latents (1 c t h w), float32, from noise of that shape. texts: what is asked for, and what is not.

    noises: gives more noise, where the model's sampler adds some. known: frames to which the latents are led. given:
    what the transformer itself is told of them, see given_frames.
    """
    told = given or {}
    words = max(int(text.lengths[0]) for text in texts)
    states = torch.cat([text.states[:, :words] for text in texts]).to(model.device, model.dtype)  # 2 l d
    lengths = torch.cat([text.lengths for text in texts]).to(model.device)  # 2

    def ask(x: torch.Tensor, sigma: torch.Tensor | float, copies: int) -> torch.Tensor:
        """The velocity of x (1 c t h w) under the first `copies` texts, (copies c t h w)."""
        if isinstance(sigma, torch.Tensor):
            timestep = (1000 * sigma).floor().expand(copies, -1)  # copies t
        else:
            timestep = torch.full((copies,), float(timestep_of(sigma)), device=x.device)
        x = x.to(model.dtype).expand(copies, -1, -1, -1, -1)
        return model.transformer(x, timestep, states[:copies], lengths[:copies], **told).float()

    def asked(x: torch.Tensor, sigma: torch.Tensor | float) -> torch.Tensor:
        return ask(x, sigma, 1)

    def both(x: torch.Tensor, sigma: torch.Tensor | float) -> tuple[torch.Tensor, torch.Tensor]:
        with_words, without = ask(x, sigma, 2).chunk(2)
        return with_words, without

    noise = noise.to(model.device, copy=True)

    def fresh() -> torch.Tensor:
        """New noise, in the place of the old, so that known frames are led along it too."""
        return noise.copy_(torch.randn(noise.shape, generator=noises))

    solve = partial(renoise, fresh=fresh) if model.times else unipc
    velocity: Velocity = guided(both, asked, scale, interval=model.info.guidance_interval)
    velocity = cached(velocity, sigmas, cache)
    if known is None:
        return solve(velocity, noise, sigmas, callback)
    own = torch.full_like(known.cap, "frames" in model.info.conditioning, dtype=torch.bool)
    own[:, 0] |= "first" in model.info.conditioning
    velocity = with_known(velocity, known.latents, noise, known.cap, own=own, pinned=known.pinned)
    free = bool((known.cap == 1).any())
    start = noise if free else interpolate(known.latents, noise, sigmas[0])
    return solve(velocity, start, sigmas, callback)


def noise_for(plan: Plan, codec: Codec) -> torch.Tensor:
    """The noise (1 c t h w) that a plan of one window starts from: float32, drawn on the CPU from its seed alone."""
    return noise_of(plan.size, plan.frames, codec, torch.Generator().manual_seed(plan.seed))


def noise_of(size: tuple[int, int], frames: int, codec: Codec, generator: torch.Generator) -> torch.Tensor:
    """Noise (1 c t h w) for 1 + step k frames of a size (width, height) in pixels."""
    side, (width, height) = codec.config.space_factor, size
    shape = (
        1,
        codec.config.z_dim,
        1 + (frames - 1) // codec.config.time_factor,
        height // side,
        width // side,
    )
    return torch.randn(shape, generator=generator)


def to_frames(pixels: torch.Tensor) -> np.ndarray:
    """(b 3 t h w) in [-1, 1] -> uint8 (b t h w 3)."""
    levels = ((pixels.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
    return levels.permute(0, 2, 3, 4, 1).cpu().numpy()
