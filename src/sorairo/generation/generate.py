"""Any Plan into video: words, noise, latents, frames. There is one path, whatever the task."""

# Letters: c channels, t h w latent grid, n frames, h w pixels

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.checkpoints.memory.working import short_name
from sorairo.flow.cache import CacheConfig
from sorairo.flow.schedule import from_level
from sorairo.flow.windows import Window
from sorairo.generation.chunks import ChunkedDenoising
from sorairo.generation.conditions import condition_tensors
from sorairo.generation.continued import ContinuedDenoising
from sorairo.generation.control import control_tensor, reference_latents, started
from sorairo.generation.denoise import denoise, guidance_of, levels_of, noise_of, sampler_of
from sorairo.generation.forks import survive_forks
from sorairo.generation.memory import RememberedDenoising
from sorairo.generation.pieces import InPieces
from sorairo.generation.scenes import ClipScene, draws_scenes, notes_of_scene, windows_of
from sorairo.generation.timeline import KnownLatents, Timeline
from sorairo.nn.precision import device_name
from sorairo.pixels import to_frames
from sorairo.safety.policy import Policy, policy_of
from sorairo.text.encoder import TextStates
from sorairo.transformer.helios import HeliosConfig
from sorairo.transformer.longcat import LongCatConfig
from sorairo.types import Cancelled, Plan, Sample, UserError, Video

__all__ = ["Denoising", "Progress", "encode_texts", "generate", "samples", "stream"]

Progress = Callable[[str, int, int], None]  # (stage, done, of)
Texts = dict[str, TextStates]
OWN_WAYS: dict[type, type[InPieces]] = {HeliosConfig: RememberedDenoising, LongCatConfig: ContinuedDenoising}
"""How families make clips that are not Wan's."""


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
    policy: Policy | None = None,
) -> Iterator[Sample]:
    """A sample for every plan, in order, each as soon as it is made.

    Clips are made one after another: products of another batch size round differently, and a seed means the same
    frames whatever else is made. A clip is made window by window, each from the frames known by then; most plans have
    one window. progress is told (stage, done, of). cache: see `cached`. cancelled: asked at every step. preview: the
    predicted data (latents 1 c t h w) of a step, and the step. policy: is asked before and after every clip; None takes
    the operator's. Raises UserError, before any work, for what the model cannot make, and in the work for numbers that
    are not finite. Raises Blocked for what the policy refuses. Raises Cancelled.
    """
    survive_forks()
    policy = policy or policy_of()
    for plan in plans:
        model.abilities.check(plan)
    tell = progress or (lambda stage, done, of: None)
    stop = cancelled or (lambda: False)

    check(stop)
    start = time.perf_counter()
    tell("text", 0, 1)
    checked = [policy.before(plan) for plan in plans]
    plans, verdicts = [plan for plan, _ in checked], [verdict for _, verdict in checked]
    guarded = (time.perf_counter() - start) / len(plans)
    start = time.perf_counter()
    with torch.inference_mode():
        texts = encode_texts(plans, model)
        model.text.rest()
    tell("text", 1, 1)
    shared = (time.perf_counter() - start) / len(plans)

    clips = [denoising_of(plan, model, texts, cache) for plan in plans]
    done, total = 0, sum(one.steps for one in clips)
    for index, one in enumerate(clips):
        start = time.perf_counter()
        check(stop)
        tell("denoise", done, total)

        def at_step(step: int, data: torch.Tensor, before: int = done) -> None:
            tell("denoise", before + step, total)
            if preview:
                preview(data, step)
            check(stop)

        with torch.inference_mode():
            one.run(at_step)
        done += one.steps
        middle = time.perf_counter()
        tell("decode", index, len(clips))
        with torch.inference_mode():
            video = one.video()
        tell("decode", index + 1, len(clips))
        shown = time.perf_counter()
        verdict = policy.after(one.plan, video, verdicts[index])
        yield Sample(
            video=video,
            plan=one.plan,
            model=model.info.name,
            dtype=short_name(model.dtype),
            device=device_name(model.device),
            threads=torch.get_num_threads(),
            timings={
                "text": shared,
                "denoise": middle - start,
                "decode": shown - middle,
                "policy": guarded + time.perf_counter() - shown,
            },
            notes=(*notes(one.plan, model), *policy.notes(one.plan, verdict)),
            verdict=verdict,
        )


def stream(
    plan: Plan, model: Checkpoint, *, progress: Progress | None = None, policy: Policy | None = None
) -> Iterator[Video]:
    """The frames of a plan in pieces, each as soon as it is made: chunks of a model that makes such, of others one.

    All pieces one after another are the video that `samples` gives. Raises UserError and Blocked, as `samples` does;
    the policy sees each piece before it is given away.
    """
    if not model.info.chunk:
        yield from (sample.video for sample in samples([plan], model, progress=progress, policy=policy))
        return
    survive_forks()
    policy, tell = policy or policy_of(), progress or (lambda stage, done, of: None)
    model.abilities.check(plan)
    tell("text", 0, 1)
    plan, verdict = policy.before(plan)
    with torch.inference_mode():
        texts = encode_texts([plan], model)
        model.text.rest()
    tell("text", 1, 1)
    one = denoising_of(plan, model, texts)
    assert isinstance(one, InPieces)  # info.chunk says so
    pieces = one.pieces(lambda step, data: tell("denoise", step, one.steps))
    while True:
        with torch.inference_mode():  # not around the yield: what is done between pieces is not ours
            piece = next(pieces, None)
        if piece is None:
            return
        policy.after(plan, piece, verdict)
        yield piece


def check(stop: Callable[[], bool]) -> None:
    """Raise Cancelled if that is wanted."""
    if stop():
        raise Cancelled("The work was cancelled.")


def denoising_of(
    plan: Plan, model: Checkpoint, texts: Texts, cache: CacheConfig | None = None
) -> Denoising | InPieces:
    """How a model makes a clip: as its family does, or else chunk by chunk or window by window."""
    way = OWN_WAYS.get(type(model.transformer.config))
    return (way or (ChunkedDenoising if model.info.chunk else Denoising))(plan, model, texts, cache)


class Denoising:
    """One plan, window by window. steps: how many the solver takes in all."""

    def __init__(self, plan: Plan, model: Checkpoint, texts: Texts, cache: CacheConfig | None = None) -> None:
        self.plan, self.model, self.texts, self.cache = plan, model, texts, cache
        self.timeline = Timeline(
            plan, model.codec.config.time_factor, mends="frames" in model.info.conditioning
        )
        config, length = model.transformer.config, plan.frames - 1
        # conditions beside the noise are of the whole clip, as far as it is one that the model makes at once
        whole = config.condition_channels > 0
        if config.control_layers and not plan.loop and len(plan.spans) == 1:
            whole = plan.frames <= model.info.max_frames and length % self.timeline.step == 0
        self.windows = self.timeline.whole() if whole else windows_of(model, plan, self.timeline)
        self.scene = ClipScene(model, plan) if draws_scenes(model, plan) else None
        self.sampler = sampler_of(plan, model)
        schedule = levels_of(plan, model)
        self.sigmas = [from_level(schedule, self.timeline.top(window)) for window in self.windows]
        self.steps = sum(len(sigmas) - 1 for sigmas in self.sigmas)
        self.latents: torch.Tensor | None = None  # 1 c t h w, of the last window

    def run(self, at_step: Callable[[int, torch.Tensor], None]) -> None:
        """Make the latents of every window, and the frames of all but the last one.

        at_step: (steps done, the predicted data 1 c t h w), after every step.
        """
        noises, done = torch.Generator().manual_seed(self.plan.seed), 0
        references = reference_latents(self.plan, self.model.codec, self.model.device, self.model.dtype)
        beside = references.shape[2]  # latent frames that come before those of the clip
        for index, (window, sigmas) in enumerate(zip(self.windows, self.sigmas, strict=True)):
            if self.latents is not None:
                self._decode(self.windows[index - 1], self.latents)
            frames = window.stop - window.start
            known, conditions = self._inputs(window, references)
            latents = denoise(
                self.model,
                texts=[self.texts[text] for text in (self.timeline.words(window), self.plan.negative)],
                scale=guidance_of(self.plan, self.model),
                noise=noise_of(
                    self.plan.size, frames + self.timeline.step * beside, self.model.codec, noises
                ),
                sigmas=sigmas,
                sampler=self.sampler,
                noises=noises,
                known=known,
                conditions=conditions,
                cache=self.cache,
                callback=lambda step, data, before=done: at_step(before + step + 1, data[:, :, beside:]),
            )
            self.latents = latents[:, :, beside:]
            done += len(sigmas) - 1

    def video(self) -> Video:
        """The whole video, once all windows were made."""
        if self.latents is not None:
            self._decode(self.windows[-1], self.latents)
        return Video(frames=self.timeline.frames, fps=self.plan.fps)

    def _inputs(self, window: Window, references: torch.Tensor) -> tuple[KnownLatents | None, dict[str, Any]]:
        """(frames to which the latents are led; further inputs of the transformer), by what it was trained with."""
        model, plan = self.model, self.plan
        config, codec, top = model.transformer.config, model.codec, self.timeline.top(window)
        if config.condition_channels:
            frames = window.stop - window.start
            return None, condition_tensors(model, plan.size, frames, plan.known)
        known = None
        if not config.control_layers or top < 1:
            known = self.timeline.known(window, codec, model.device, model.dtype)
        told: dict[str, Any] = {"rate": 0 if plan.fps == 16 else 1} if config.rates else {}
        if self.scene:
            told["scene"] = self.scene.tokens(window, self.timeline.words(window), self.texts)
        if not config.control_layers:
            return known, told
        control = control_tensor(self.timeline, window, references, codec, model.dtype, plan.control)
        told |= {"control": control, "control_scale": plan.control_scale}
        return started(known, top, references), told

    def _decode(self, window: Window, latents: torch.Tensor) -> None:
        pixels = self.model.pixels(latents)  # 1 3 n h w
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


def notes(plan: Plan, model: Checkpoint) -> tuple[str, ...]:
    """Sentences on uses that the model was not trained for."""
    return (*_notes_of_size(plan, model), *_notes_of_known(plan, model), *notes_of_scene(plan, model))


def _notes_of_size(plan: Plan, model: Checkpoint) -> tuple[str, ...]:
    if plan.size in model.info.sizes:
        return ()
    trained = ", ".join(f"{width}x{height}" for width, height in model.info.sizes[:6])
    asked = f"{plan.size[0]}x{plan.size[1]}"
    return (f"{model.info.name} was not trained for {asked}, which may look worse than {trained}.",)


def _notes_of_known(plan: Plan, model: Checkpoint) -> tuple[str, ...]:
    given = [known for known in plan.known if known.hold == 1 and known.region is None]
    ends = {"first": 0, "last": plan.frames - 1}
    places = {ends[end] for end in model.info.conditioning if end in ends}
    as_trained = all(known.at in places and len(known.video) == 1 for known in given)
    short = not plan.loop and plan.frames <= model.info.max_frames and len(plan.spans) == 1
    if (not given and short) or {"frames", "levels", "control"} & set(model.info.conditioning):
        return ()
    if model.info.chunk and all(known.at == 0 for known in given):
        return ()
    if as_trained and short:
        return ()
    return (
        f"{model.info.name} was not trained with these known frames: they are blended in at every step, so the result"
        " may follow them only loosely.",
    )
