"""Any Plan into video: words, noise, latents, frames. There is one path, whatever the task."""

# Letters: b batch (a sample, and with guidance its twin), c channels, t h w latent grid, l words, d their width

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.codec.model import Codec
from sorairo.flow.cache import CacheConfig, cached
from sorairo.flow.guidance import Scale, guided, with_known
from sorairo.flow.path import data_at, interpolate, towards
from sorairo.flow.schedule import from_level, sigmas_at, timestep_of, unipc_sigmas
from sorairo.flow.solvers import Velocity, renoise, unipc
from sorairo.flow.windows import Window
from sorairo.generation.conditions import given_frames
from sorairo.generation.timeline import KnownLatents, Timeline
from sorairo.text.encoder import TextStates
from sorairo.transformer.experts import Experts
from sorairo.types import Cancelled, Plan, Sample, UserError, Video

__all__ = ["Film", "Progress", "generate", "noise_for", "samples", "to_frames"]

Progress = Callable[[str, int, int], None]  # (stage, done, of)
Texts = dict[str, TextStates]


def generate(
    plans: Plan | Iterable[Plan],
    model: Checkpoint,
    progress: Progress | None = None,
    cache: CacheConfig | None = None,
) -> list[Sample]:
    """A sample for every plan, in order; see `samples`."""
    plans = [plans] if isinstance(plans, Plan) else list(plans)
    return list(samples(plans, model, progress=progress, cache=cache))


def samples(
    plans: Sequence[Plan],
    model: Checkpoint,
    *,
    progress: Progress | None = None,
    cache: CacheConfig | None = None,
    cancelled: Callable[[], bool] | None = None,
    preview: Callable[[torch.Tensor, int], None] | None = None,
) -> Iterator[Sample]:
    """A sample for every plan, in order, each as soon as it is made.

    Clips are made one after another: products of another batch size round differently, and a seed means the same
    frames whatever is made beside it. A clip is made window by window, each from what is known by then; most plans have
    one window. progress is told (stage, done, of). cache: see `cached`. cancelled: asked at every step. preview: the
    latents (1 c t h w) of the data as foreseen at a step, and the step. Raises UserError, before any work, for what the
    model cannot make, and in the work for numbers that are not finite. Raises Cancelled.
    """
    for plan in plans:
        model.abilities.check(plan)
    tell = progress or (lambda stage, done, of: None)
    stop = cancelled or (lambda: False)

    check(stop)
    start = time.perf_counter()
    tell("text", 0, 1)
    with torch.inference_mode():
        texts = encode_texts(plans, model)
        model.text.rest()
    tell("text", 1, 1)
    shared = (time.perf_counter() - start) / len(plans)

    films = [Film(plan, model, texts, cache) for plan in plans]
    done, total = 0, sum(film.steps for film in films)
    for index, film in enumerate(films):
        start = time.perf_counter()
        check(stop)
        tell("denoise", done, total)

        def at_step(step: int, data: torch.Tensor, before: int = done) -> None:
            tell("denoise", before + step, total)
            if preview:
                preview(data, step)
            check(stop)

        with torch.inference_mode():
            film.shoot(at_step)
        done += film.steps
        middle = time.perf_counter()
        tell("decode", index, len(films))
        with torch.inference_mode():
            video = film.finish()
        tell("decode", index + 1, len(films))
        yield Sample(
            video=video,
            plan=film.plan,
            model=model.info.name,
            dtype={torch.float32: "fp32", torch.bfloat16: "bf16"}.get(model.dtype, str(model.dtype)),
            device=str(model.device),
            threads=torch.get_num_threads(),
            timings={
                "text": shared,
                "denoise": middle - start,
                "decode": time.perf_counter() - middle,
            },
            notes=notes(film.plan, model),
        )


def check(stop: Callable[[], bool]) -> None:
    """Raise Cancelled if that is wanted."""
    if stop():
        raise Cancelled("The work was cancelled.")


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

    def shoot(self, told: Callable[[int, torch.Tensor], None]) -> None:
        """Make the latents of every window, and the frames of all but the last one.

        told: (steps done, the data as foreseen 1 c t h w), at every step.
        """
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
                callback=lambda step, data, before=done: told(before + step + 1, data),
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
        if not bool(torch.isfinite(pixels).all()):
            raise UserError("The codec gave pixels that are not finite; try --dtype fp32, or another model.")
        self.timeline.add(window, to_frames(pixels)[0], latents)


def encode_texts(plans: Sequence[Plan], model: Checkpoint) -> Texts:
    """The states of every text of the plans, each alone (so that none depends on another), once.

    Raises UserError, before any is computed, for a text that is too long.
    """
    texts: dict[str, str] = {}  # text -> its name in an error
    for plan in plans:
        for span in plan.spans:
            at = f"The prompt at {span.start / plan.fps:g} s" if len(plan.spans) > 1 else "The prompt"
            texts.setdefault(span.text, at)
        texts.setdefault(plan.negative, "--negative")
    for text, called in texts.items():
        model.text.tokens(text, called)
    return {text: model.text.encode([text]) for text in texts}


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
    what the transformer itself is told of them, see given_frames. callback: (step, the data as foreseen), after each.
    Raises UserError at the step whose numbers are not finite.
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
        seen = x.to(model.dtype).expand(copies, -1, -1, -1, -1)
        made = model.transformer(seen, timestep, states[:copies], lengths[:copies], **told).float()
        return towards(x, made, sigma) if model.predicts == "data" else made

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
    watch = Watch(len(sigmas) - 1, callback)
    if known is None:
        return solve(watch.of(velocity), noise, sigmas, watch.after)
    own = torch.full_like(known.cap, "frames" in model.info.conditioning, dtype=torch.bool)
    own[:, 0] |= "first" in model.info.conditioning
    velocity = with_known(velocity, known.latents, noise, known.cap, own=own, pinned=known.pinned)
    free = bool((known.cap == 1).any())
    start = noise if free else interpolate(known.latents, noise, sigmas[0])
    return solve(watch.of(velocity), start, sigmas, watch.after)


class Watch:
    """Looks at every step: stops where numbers are no longer finite, and hands on the data as foreseen there."""

    def __init__(self, steps: int, callback: Callable[[int, torch.Tensor], None] | None) -> None:
        self.steps, self.callback = steps, callback
        self.data = torch.empty(0)

    def of(self, velocity: Velocity) -> Velocity:
        """A velocity that remembers which data (1 c t h w) it points at."""

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
