"""The common path of all verbs: options -> Request, its run, the report."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sorairo.cli.importing import importing
from sorairo.cli.outcome import numbered, report

if TYPE_CHECKING:
    from sorairo.cli.options import Options
    from sorairo.jobs.request import Request
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
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        return _together(request, options)
    outputs = numbered(options.out or Path("out.mp4"), request.number)
    results: list[Result] = []
    stages, sheet = Stages(remaining=True), None
    try:
        with stages:
            stages("load")
            with importing():
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


def _together(request: Request, options: Options) -> None:
    """One of the processes that torchrun started: all make each clip together, the leading one writes and reports."""
    from sorairo.cli.progress import Stages
    from sorairo.jobs.models import Models
    from sorairo.jobs.run import run
    from sorairo.nn.together import join, leads, leave, tell

    join()
    if request.seed is None and request.verb != "remix":  # a remix has its seed from its input
        request = request.model_copy(update={"seed": int(tell(str(secrets.randbelow(2**31))))})
    outputs = numbered(options.out or Path("out.mp4"), request.number)
    if not leads():
        list(run(request, Models(), outputs=outputs, sheet=options.sheet))
        return leave()
    with Stages(remaining=True) as stages:
        made = run(request, Models(), outputs=outputs, sheet=options.sheet, progress=stages, say=stages.say)
        results = list(made)
    leave()
    report(results, options.sheet, stages.timings, options.as_json)
