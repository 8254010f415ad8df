"""What all verbs do once they know what is wanted: load, plan, make, write, report."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sorairo.cli.outcome import numbered, recipe, report
from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.cli.options import Options
    from sorairo.tasks.abilities import Abilities
    from sorairo.tasks.ask import Ask
    from sorairo.types import Plan, Sample, Video

__all__ = ["make_videos", "outputs", "read_given", "words_for"]

AT_ONCE = 4
"""Videos in one batch; each is on disk before the next batch begins."""


def make_videos(
    options: Options, plan_of: Callable[[Abilities, Ask], Plan], given: Sequence[Path] = ()
) -> None:
    """Make the videos of a verb. plan_of: from the model's abilities and what is asked to the Plan. given: the files
    that it begins with, which the plan in the written files names."""
    from sorairo.cli.progress import Stages
    from sorairo.video.resize import check_fit
    from sorairo.video.sheet import contact_sheet
    from sorairo.video.write import write_video

    paths, ask = outputs(options), styled(options)
    check_fit(ask.fit)
    with Stages() as stages:
        stages("load")
        from sorairo.checkpoints.lora import apply_loras
        from sorairo.checkpoints.planner import load_within
        from sorairo.flow.cache import CacheConfig
        from sorairo.generate import generate
        from sorairo.plans import given_for

        cache = None if options.cache is None else CacheConfig(tolerance=options.cache)
        checkpoint = load_within(
            options.memory, options.model, options.dtype, ask.size, ask.frames, stages.say
        )
        checkpoint = apply_loras(checkpoint, options.lora or [], strict=not options.loose)
        plan = worded(plan_of(checkpoint.abilities, ask), options, stages.say)
        plans = [replace(plan, seed=ask.seed + index) for index in range(options.number)]
        for one in plans:
            checkpoint.abilities.check(one)
        text = " ".join(span.text for span in plan.spans)
        if unknown := checkpoint.info.unknown_words(text):
            words = ", ".join(f"“{word}”" for word in unknown)
            stages.say(
                f"{options.model} never saw {words}; `sorairo models info` lists the words that it knows."
            )
        files = [given_for(plan, path, ask.fit) for path in given]
        samples: list[Sample] = []
        for start in range(0, len(plans), AT_ONCE):
            made = generate(plans[start : start + AT_ONCE], checkpoint, stages, cache)
            if not samples:
                for note in made[0].notes:
                    stages.say(note)
            stages("encode", 0, len(made))
            for done, sample in enumerate(made, 1):
                write_video(sample.video, paths[len(samples)], recipe(sample, files))
                samples.append(sample)
                stages("encode", done, len(made))
        if options.sheet:
            captions = [text if len(plans) == 1 else f"{text} (seed {one.seed})" for one in plans]
            contact_sheet(
                [sample.video for sample in samples], captions, options.sheet, frames_per=6, scale=2
            )
    report(samples, paths, options.sheet, stages.timings, options.as_json, files)


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


def worded(plan: Plan, options: Options, say: Callable[[str], None]) -> Plan:
    """The plan with the words of --expand and of --style; `say` is told every rewrite. Raises UserError."""
    from sorairo.styles import apply_style, find_style

    def text_of(text: str) -> str:
        if options.expand:
            from sorairo.cli.expand import expanded

            longer = expanded(text, moving=plan.frames > 1).text
            if longer != text:
                say(f"Expanded: {longer}")
            text = longer
        return apply_style(text, find_style(options.style)) if options.style else text

    return replace(plan, spans=tuple(replace(span, text=text_of(span.text)) for span in plan.spans))


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


def read_given(path: Path) -> Video:
    """A clip or a picture that a verb is given. Raises UserError."""
    from sorairo.video.read import read_video

    return read_video(path)


def words_for(prompt: str | None, path: Path) -> str:
    """The words of a verb: as said, or those that the given file was made from. Raises UserError."""
    if prompt is not None:
        return prompt
    from sorairo.video.read import read_metadata

    said = read_metadata(path).get("prompt")
    if not isinstance(said, str):
        raise UserError(f"{path} does not say what words it was made from; give some as PROMPT.")
    return said
