"""The verb upscale: an input file at twice its size. No model runs but the small network of `sorairo.upscale`."""

from __future__ import annotations

import time

from sorairo.generation.generate import Progress
from sorairo.jobs.record import Clip, clip_of
from sorairo.jobs.source import Source, kept_sounds
from sorairo.safety.policy import Policy, policy_of
from sorairo.types import Known, Plan, Sample, Span, UserError
from sorairo.upscale import SCALE, upscale
from sorairo.video.read import read_video
from sorairo.video.sound import mixed

__all__ = ["doubled"]

MOST = 2**32
"""Bytes of all output frames, which are held at once."""


def doubled(source: Source, background: str, tell: Progress, policy: Policy | None = None) -> Clip:
    """A clip or a still at twice its width and height, with its sound. Raises UserError for one that is too large, and
    Blocked for one that the policy refuses.

    The plan says that all frames were known, and repeats the words and settings of an input that was made here, so that
    other verbs go on from the output as from the input.
    """
    start = time.perf_counter()
    read = source.frames or read_video(source.path, background=background)
    width, height = read.size
    if 3 * SCALE**2 * width * height * len(read) > MOST:
        raise UserError(
            f"{len(read)} frames of {SCALE * width}x{SCALE * height} take more than {MOST / 2**30:g} GiB; "
            "cut the clip into shorter ones."
        )
    video = source.video(read.size, read.fps, background=background)
    stored = source.stored
    same = (
        stored is not None and stored.plan.size == read.size
    )  # a clip that was doubled before has another size
    plan = Plan(
        size=read.size,
        frames=len(video),
        fps=read.fps,
        spans=stored.plan.spans if stored else (Span(text=""),),
        seed=stored.plan.seed if stored else 0,
        known=(Known(video=video),),
        loop=stored.plan.loop if stored else False,
        steps=stored.plan.steps if stored else None,
        guidance=stored.plan.guidance if stored else None,
        negative=stored.plan.negative if stored else "",
    )
    source.check_unchanged()
    policy = policy or policy_of()
    plan, verdict = policy.before(plan)
    large = upscale(video, SCALE, lambda frames: tell("upscale", frames, len(video)))
    sample = Sample(
        video=large,
        plan=plan,
        model=stored.model if stored and same else "upscale",
        dtype="fp32",
        device="cpu",
        timings={"upscale": time.perf_counter() - start},
        verdict=policy.after(plan, video, verdict),
    )
    return clip_of(sample, SCALE, mixed(kept_sounds(plan), plan.frames / plan.fps))
