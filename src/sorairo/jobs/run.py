"""run: a request -> files, one after another, each on disk as soon as it is made."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sorairo.checkpoints.folder import Checkpoint
from sorairo.checkpoints.lora import parse_lora
from sorairo.generation.generate import Progress, samples
from sorairo.jobs.enlarge import doubled
from sorairo.jobs.making import UNSIGNED, making_of
from sorairo.jobs.models import Models
from sorairo.jobs.prepare import Job, Wanted, job_of, wanted
from sorairo.jobs.record import Clip, Remember, check_outputs, clip_of, write, write_sheet
from sorairo.jobs.request import Request
from sorairo.jobs.words import Rewrites
from sorairo.nn import together
from sorairo.safety.identity import can_sign
from sorairo.safety.policy import OperatorPolicy
from sorairo.types import Cancelled, Plan, UserError
from sorairo.upscale import upscale

__all__ = ["Result", "clips", "run"]

Say = Callable[[str], None]
Preview = Callable[[torch.Tensor, int], None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """One output. record: what the file holds. rewrites: (words, caption) of each expansion."""

    path: Path
    sample: Clip
    record: dict[str, Any]
    rewrites: Rewrites


def run(
    request: Request,
    models: Models,
    *,
    outputs: Sequence[Path],
    sheet: Path | None = None,
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
    preview: Preview | None = None,
    say: Say | None = None,
    policy: OperatorPolicy | None = None,
    remember: Remember | None = None,
) -> Iterator[Result]:
    """Make the videos of a request, and yield a Result when its file is on disk.

    outputs: a path for each of request.number videos. sheet: a contact sheet of all, written at the end. progress is
    told (stage, done, of); stages are load, text, denoise, decode, upscale, encode. cancelled is asked before
    each stage and at every denoising step. preview: (latents 1 c t h w of the video as foreseen, step), at every step;
    `model.codec` decodes them. say: a sentence for the user. policy: None takes the operator's.
    remember: see `record.write`.

    Under torchrun all processes call this alike and make each clip together; the leading one alone writes and yields.

    Raises UserError: on the call for what is wrong with the request, its files and the outputs; on the first next() for
    what the model cannot make. Raises Blocked for what the policy refuses: words on the call, inputs and outputs later.
    Raises Cancelled. Files that were written before stay.
    """
    if len(outputs) != request.number:
        raise UserError(f"{request.number} videos need as many outputs, not {len(outputs)}.")
    if together.leads():
        check_outputs(outputs, sheet)
    want = wanted(request, policy=policy)
    tell, sentence = progress or _ignore, say or _ignore
    stop = cancelled or (lambda: False)
    return _made(want, models, list(outputs), sheet, tell, stop, preview, sentence, remember)


def _made(
    want: Wanted,
    models: Models,
    outputs: list[Path],
    sheet: Path | None,
    tell: Progress,
    stop: Callable[[], bool],
    preview: Preview | None,
    say: Say,
    remember: Remember | None,
) -> Iterator[Result]:
    check(stop)
    for source in want.files:
        for note in source.notes:
            say(note)
    if not can_sign():
        say(UNSIGNED)
    if want.request.verb == "upscale":
        clip = doubled(want.sources[0], want.request.background, tell, want.policy)
        clip = replace(clip, making=making_of("upscale", None, [want.sources[0].path]))
        want.sources[0].check_unchanged()
        check(stop)
        tell("encode", 0, 1)
        record = write(clip, outputs[0], [*outputs, *([sheet] if sheet else [])], remember)
        tell("encode", 1, 1)
        yield Result(path=outputs[0], sample=clip, record=record, rewrites=[])
        if sheet and (note := write_sheet(sheet, [clip])):
            say(note)
        return
    tell("load", 0, 1)
    model = models.get(want.request, say)
    job = job_of(want, model, say)
    agree(job.plans)
    tell("load", 1, 1)
    targets = [*outputs, *([sheet] if sheet else [])]
    made: list[Clip] = []  # for the sheet alone
    for done, clip in enumerate(clips(want, job, model, tell, stop, preview, say)):
        check(stop)
        if not together.leads():
            continue
        path = outputs[done]
        tell("encode", done, len(outputs))
        record = write(clip, path, targets, remember)
        if sheet:
            made.append(clip)
        tell("encode", done + 1, len(outputs))
        yield Result(path=path, sample=clip, record=record, rewrites=job.rewrites)
    if sheet and (note := write_sheet(sheet, made)):
        say(note)


def agree(plans: Sequence[Plan]) -> None:
    """Refuse plans that differ among the processes which make a clip together: the result would be of none of them."""
    if together.size() == 1:
        return
    bare = [replace(plan, known=(), references=(), control=None) for plan in plans]
    digest = hashlib.sha256(repr(bare).encode())
    for plan in plans:
        digest.update(repr([(known.at, known.hold) for known in plan.known]).encode())
        for video in plan.inputs:
            digest.update(video.frames.tobytes())
    if together.tell(digest.hexdigest()) != digest.hexdigest():
        raise UserError("The processes were asked for different clips; give all the same inputs and --seed.")


def clips(
    want: Wanted,
    job: Job,
    model: Checkpoint,
    tell: Progress,
    stop: Callable[[], bool],
    preview: Preview | None = None,
    say: Say | None = None,
) -> Iterator[Clip]:
    """The videos of a job, upscaled if requested, with their sound, not yet written."""
    scale, said = want.request.upscale, False
    files = [source.path for source in want.files if source.frames is None]
    request = want.request
    files_beside = (request.vae, request.text_encoder, request.image_encoder)
    more = [parse_lora(one).path for one in request.lora] + [Path(one) for one in files_beside if one]
    making = making_of(request.verb, model.folder, files, more, want.policy.rules.mark)
    for source in want.files:
        source.check_unchanged()  # what was read for the credentials is what was read for the frames
    made = samples(
        job.plans,
        model,
        progress=tell,
        cache=want.cache,
        cancelled=stop,
        preview=preview,
        policy=want.policy,
    )
    for index, sample in enumerate(made):
        if say and not said:
            said = True
            for note in sample.notes:
                say(note)
        video, timings = sample.video, dict(sample.timings)
        if scale is not None:
            check(stop)
            start, before, total = time.perf_counter(), index * len(video), len(job.plans) * len(video)
            tell("upscale", before, total)
            video = upscale(video, scale, partial(_tell_upscaled, tell, before, total))
            timings["upscale"] = time.perf_counter() - start
        yield clip_of(replace(sample, video=video, timings=timings), scale, job.track, making)


def _tell_upscaled(tell: Progress, before: int, total: int, frames: int) -> None:
    tell("upscale", before + frames, total)


def check(stop: Callable[[], bool]) -> None:
    """Raise Cancelled if that is wanted."""
    if stop():
        raise Cancelled("The work was cancelled.")


def _ignore(*told: object) -> None:
    pass
