"""`sorairo show`: how a file was made."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.cli.terminal import safe

if TYPE_CHECKING:
    from sorairo.jobs.plans import Reference, StoredPlan

__all__ = ["show"]


def show(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A video or picture that Sorairo made.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show how a file was made: words, seed, size, model and plan."""
    from sorairo.jobs.plans import plan_to_dict, read_plan, written

    stored = read_plan(file)
    if as_json:
        plan = plan_to_dict(stored.plan) | {"known": [written(one) for one in stored.known]}
        if stored.references:
            plan["references"] = [written(one) for one in stored.references]
        if stored.control:
            plan["control"] = written(stored.control)
        facts = {"path": str(file), "prompt": stored.plan.spans[0].text, "seed": stored.plan.seed}
        facts |= {"size": list(stored.plan.size), "model": stored.model, "software": stored.software}
        facts |= {"dtype": stored.dtype, "device": stored.device, "threads": stored.threads}
        facts |= {"upscale": stored.upscale} if stored.upscale > 1 else {}
        print(json.dumps(facts | {"plan": plan}))
        return
    for name, text in lines(stored):
        print(f"{name:<9} {safe(text)}")


def lines(stored: StoredPlan) -> list[tuple[str, str]]:
    """(name, text) of all that a person would want to know."""
    plan, fps = stored.plan, stored.plan.fps
    said = [(f"{time(span.start, fps)} to {time(span.stop, fps)}: ", span.text) for span in plan.spans]
    told: list[tuple[str, str]] = [("prompt", text if len(said) == 1 else when + text) for when, text in said]
    told += [
        ("negative", plan.negative),
        ("seed", str(plan.seed)),
        ("size", f"{plan.size[0]}x{plan.size[1]}"),
        ("upscale", larger(plan.size, stored.upscale) if stored.upscale > 1 else ""),
        ("length", f"{plan.frames} frames, {plan.frames / fps:.2f} s at {fps:g} a second"),
        ("steps", default(plan.steps)),
        ("guidance", default(plan.guidance)),
        ("sampler", plan.sampler or ""),
        ("shift", "" if plan.shift is None else f"{plan.shift:g}"),
        ("loop", loops(plan.back) if plan.loop else ""),
        *(("known", known(one)) for one in stored.known),
        *(("reference", one.path or "in no file") for one in stored.references),
        ("control", stored.control.path or "in no file" if stored.control else ""),
        ("control scale", "" if plan.control_scale == 1 else f"{plan.control_scale:g}"),
        ("scene", f"set, objects: {len(plan.scene.objects)}" if plan.scene else ""),
        ("model", stored.model),
        ("software", stored.software),
        ("computed", computed(stored)),
    ]
    return [(name, text) for name, text in told if text]


def larger(size: tuple[int, int], scale: int) -> str:
    """By how much, and to what."""
    return f"{scale}, to {scale * size[0]}x{scale * size[1]}"


def loops(back: float) -> str:
    return f"yes, the second half the first in reverse, held by {back:g}" if back else "yes"


def known(one: Reference) -> str:
    """One line on frames that were given."""
    place = f"frames {one.at} to {one.at + one.frames - 1}" if one.frames > 1 else f"frame {one.at}"
    held = "kept" if one.hold == 1 else f"held by {one.hold:g}"
    inside = "" if one.region is None else " inside {},{},{},{}".format(*one.region)
    gone = ", which this file was written over: it cannot be made again" if one.replaced else ""
    return f"{place} {held}{inside}, from {one.path or 'no file'}{gone}"


def computed(stored: StoredPlan) -> str:
    """What the last digits of the frames depend on besides the plan."""
    threads = f"{stored.threads} thread{'s' if stored.threads > 1 else ''}" if stored.threads else ""
    return ", ".join(part for part in (stored.dtype, threads, stored.device) if part)


def time(frame: int | None, fps: float) -> str:
    return "the end" if frame is None else f"{frame / fps:.2f} s"


def default(value: Any) -> str:
    return "the model's own" if value is None else f"{value:g}"
