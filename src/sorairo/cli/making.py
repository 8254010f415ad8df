"""The common path of all verbs: options -> Request, its run, the report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sorairo.cli.outcome import numbered, report

if TYPE_CHECKING:
    from sorairo.cli.options import Options
    from sorairo.jobs.run import Result

__all__ = ["make_videos"]


def make_videos(
    options: Options, verb: str, prompt: str | None = None, sources: Sequence[Path | str] = (), **args: Any
) -> None:
    """Make the videos of a verb. sources: its input files. args: what the verb alone takes.

    Each file is written when it is made. After Ctrl-C the report names those that were.
    """
    from sorairo.cli.progress import Stages

    request = options.request(verb, prompt, sources, args)
    outputs = numbered(options.out or Path("out.mp4"), request.number)
    results: list[Result] = []
    stages, sheet = Stages(), None
    try:
        with stages:
            stages("load")
            from sorairo.jobs.models import Models
            from sorairo.jobs.run import run

            made = run(
                request, Models(), outputs=outputs, sheet=options.sheet, progress=stages, say=stages.say
            )
            for result in made:
                results.append(result)
        sheet = options.sheet
    finally:
        if results:
            report(results, sheet, stages.timings, options.as_json)
