"""What all verbs do once they know what is wanted: load, plan, make, write, report."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sorairo.cli.outcome import numbered, recipe, report
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.checkpoints.folder import Checkpoint
    from sorairo.cli.options import Options
    from sorairo.cli.progress import Stages
    from sorairo.tasks.abilities import Abilities
    from sorairo.tasks.ask import Ask
    from sorairo.types import Plan, Sample, Video

    PlanOf = Callable[[Abilities, Ask, list[Video]], Plan]

__all__ = ["as_made", "make_videos", "outputs", "words_for"]

AT_ONCE = 4
"""Videos in one batch; each is on disk before the next batch begins."""


def make_videos(options: Options, plan_of: PlanOf, given: Sequence[Path] = ()) -> None:
    """Make the videos of a verb.

    plan_of: from the model's abilities, what is asked and the frames of the given files to the Plan. given: files
    that it begins with; each is read once, at the size and rate of what is made, and the stored plan names it.
    """
    from sorairo.cli.progress import Stages
    from sorairo.upscale import check_scale
    from sorairo.video.pictures import check_colour
    from sorairo.video.read import read_size
    from sorairo.video.resize import check_fit
    from sorairo.video.write import write_video

    paths, ask = outputs(options), styled(options)
    check_fit(ask.fit)
    check_colour(options.background)
    if options.upscale is not None:
        check_scale(options.upscale)
    sizes = [read_size(path) for path in given]
    with Stages() as stages:
        stages("load")
        from sorairo.flow.cache import CacheConfig
        from sorairo.generate import generate
        from sorairo.plans import given_for, kept_sound
        from sorairo.tasks.given import nearest_size

        cache = None if options.cache is None else CacheConfig(tolerance=options.cache)
        checkpoint = loaded(options, ask, stages.say)
        abilities = checkpoint.abilities
        size = ask.size or nearest_size(sizes[0] if sizes else abilities.sizes[0], abilities)
        files = [given_for(path, size, abilities.fps, ask.fit, options.background) for path in given]
        plan = plan_of(abilities, replace(ask, size=size), [file.video for file in files])
        plan, rewrites = worded(plan, options, stages.say)
        plans = [replace(plan, seed=ask.seed + index) for index in range(options.number)]
        for one in plans:
            abilities.check(one)
        warn_of_words(plan, options, checkpoint, stages.say)
        sounds = kept_sound(plan, files)
        samples: list[Sample] = []
        for start in range(0, len(plans), AT_ONCE):
            made = generate(plans[start : start + AT_ONCE], checkpoint, stages, cache)
            if not samples:
                for note in made[0].notes:
                    stages.say(note)
            if options.upscale is not None:
                made = upscaled(made, options.upscale, stages)
            stages("encode", 0, len(made))
            for done, sample in enumerate(made, 1):
                facts = recipe(sample, files, options.upscale)
                write_video(sample.video, paths[len(samples)], facts, sounds)
                samples.append(sample)
                stages("encode", done, len(made))
        if options.sheet:
            write_sheet(options.sheet, samples, plans, scale=2 if options.upscale is None else 1)
    report(samples, paths, options.sheet, stages.timings, options.as_json, files, rewrites, options.upscale)


def loaded(options: Options, ask: Ask, say: Callable[[str], None]) -> Checkpoint:
    """The model as the options want it: within --memory, with --lora, compiled. Raises UserError."""
    from sorairo.checkpoints.lora import apply_loras
    from sorairo.checkpoints.planner import load_within

    checkpoint = load_within(options.memory, options.model, options.dtype, ask.size, ask.frames, say)
    checkpoint = apply_loras(checkpoint, options.lora or [], strict=not options.loose)
    if should_compile(options.compile, checkpoint):
        from sorairo.transformer.compiling import compile_blocks

        compile_blocks(checkpoint.transformer)
    return checkpoint


def warn_of_words(plan: Plan, options: Options, checkpoint: Checkpoint, say: Callable[[str], None]) -> None:
    """Say which words of the plan the model never saw."""
    unknown = checkpoint.info.unknown_words(words_of(plan))
    if unknown:
        words = ", ".join(f"“{word}”" for word in unknown)
        say(f"{options.model} never saw {words}; `sorairo models info` lists the words that it knows.")


def write_sheet(path: Path, samples: Sequence[Sample], plans: Sequence[Plan], scale: int) -> None:
    """A contact sheet of the samples; seeds are named where there are several."""
    from sorairo.video.sheet import contact_sheet

    captions = [
        words_of(plan) if len(plans) == 1 else f"{words_of(plan)} (seed {plan.seed})" for plan in plans
    ]
    contact_sheet([sample.video for sample in samples], captions, path, frames_per=6, scale=scale)


def words_of(plan: Plan) -> str:
    """All words of a plan, in turn."""
    return " ".join(span.text for span in plan.spans)


def upscaled(samples: Sequence[Sample], scale: int, stages: Stages) -> list[Sample]:
    """The samples with larger frames, and the plans that they were made by."""
    from sorairo.upscale import upscale

    total, done, larger = sum(len(sample.video) for sample in samples), 0, []
    for sample in samples:
        start = time.perf_counter()
        video = upscale(
            sample.video, scale, lambda frames, before=done: stages("upscale", before + frames, total)
        )
        done += len(video)
        timings = sample.timings | {"upscale": time.perf_counter() - start}
        larger.append(replace(sample, video=video, timings=timings))
    return larger


def should_compile(asked: bool | None, checkpoint: Checkpoint) -> bool:
    """As asked, or what suits the model's size. A plan that streams blocks leaves those as they are."""
    if asked is not None:
        return asked
    from sorairo.transformer.compiling import worth_compiling

    return worth_compiling(checkpoint.transformer.config, checkpoint.device)


def styled(options: Options) -> Ask:
    """What is asked, with the settings of --style where none are asked for. Raises UserError."""
    ask = options.ask()
    if options.style is None:
        return ask
    from sorairo.styles import find_style

    style = find_style(options.style)
    return replace(
        ask,
        negative=ask.negative or style.negative,
        steps=style.steps if ask.steps is None else ask.steps,
        guidance=style.guidance if ask.guidance is None else ask.guidance,
    )


def worded(plan: Plan, options: Options, say: Callable[[str], None]) -> tuple[Plan, list[tuple[str, str]]]:
    """The plan with the words of --expand and of --style, and what --expand made of which words.

    `say` is told every rewrite. Raises UserError.
    """
    from sorairo.styles import apply_style, find_style

    rewrites: list[tuple[str, str]] = []

    def text_of(text: str) -> str:
        if options.expand or options.expand_url or options.expand_model:
            from sorairo.cli.expand import expanded

            moving, server = plan.frames > 1, options.expand_url
            longer = expanded(text, moving=moving, url=server, chat_model=options.expand_model).text
            rewrites.append((text, longer))
            if longer != text:
                say(f"Expanded: {longer}")
            text = longer
        return apply_style(text, find_style(options.style)) if options.style else text

    plan = replace(plan, spans=tuple(replace(span, text=text_of(span.text)) for span in plan.spans))
    return plan, rewrites


def outputs(options: Options, default: str = "out.mp4") -> list[Path]:
    """The names of the files to be written, refused before the work where they cannot be. Raises UserError."""
    from sorairo.video.sheet import check_sheet
    from sorairo.video.write import check_writable

    if options.number < 1:
        raise UserError(f"-n must be 1 or more, not {options.number}.")
    paths = numbered(options.out or Path(default), options.number)
    for path in paths:
        check_writable(path)
    if options.sheet:
        check_sheet(options.sheet)
    return paths


def words_for(prompt: str | None, path: Path, part: slice = slice(None)) -> str:
    """The words of a verb: as said, or those that the given file was made from. Raises UserError.

    part: which of them where the file was made from several in turn, such as the cards of a storyboard.
    """
    if prompt is not None:
        return prompt
    from sorairo.video.read import read_metadata

    facts = read_metadata(path)
    if isinstance(facts.get("plan"), dict):
        from sorairo.plans import read_plan

        spans = read_plan(path).plan.spans[part]
        return " ".join(dict.fromkeys(span.text for span in spans))
    said = facts.get("prompt")
    if not isinstance(said, str):
        raise UserError(f"{path} does not say what words it was made from; give some as PROMPT.")
    return said


def as_made(options: Options, path: Path, seed: bool = False) -> Options:
    """The options, with the settings that a clip made here was made with where none are given: its size, steps,
    guidance and negative words if the same model made it, and its seed if that is wanted. Raises UserError."""
    from sorairo.video.read import read_metadata

    facts = read_metadata(path)
    if seed and options.seed is None and isinstance(facts.get("seed"), int):
        options = replace(options, seed=facts["seed"])
    if not isinstance(facts.get("plan"), dict):
        return options
    from sorairo.plans import read_plan

    stored = read_plan(path)
    plan = stored.plan
    if Path(stored.model).name != Path(options.model).name:
        return options
    return replace(
        options,
        size=options.size or "x".join(map(str, plan.size)),
        steps=plan.steps if options.steps is None else options.steps,
        guidance=plan.guidance if options.guidance is None else options.guidance,
        negative=options.negative or plan.negative,
    )
