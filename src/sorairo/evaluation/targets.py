"""The targets of every verb, and the table of measured values beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sorairo.evaluation.metrics import Estimate, mean_estimate

__all__ = ["TARGETS", "Target", "Verdict", "table", "verdicts"]


@dataclass(frozen=True, kw_only=True)
class Target:
    """verb, what: the quantity, as the table names them. least, most: bounds of its mean, if it has any."""

    verb: str
    what: str
    least: float | None = None
    most: float | None = None
    share: bool = False

    def met(self, value: float) -> bool | None:
        """Whether a value is inside the bounds; None without bounds."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


TARGETS = {
    "still.objects": Target(verb="still image", what="right objects", share=True),
    "framing.wide": Target(verb="generate, wide", what="frames with the object wholly inside", share=True),
    "framing.tall": Target(verb="generate, tall", what="frames with the object wholly inside", share=True),
    "framing.real": Target(
        verb="real clips, square", what="frames with the object wholly inside", share=True
    ),
    "animate.first": Target(verb="animate", what="first frame, dB", least=60),
    "animate.event": Target(verb="animate", what="right event", share=True),
    "animate.motion": Target(verb="animate", what="motion error, object sizes"),
    "animate.real": Target(verb="animate", what="the same in the real clip"),
    "extend.kept": Target(verb="extend", what="given frames untouched", least=1, share=True),
    "extend.seam": Target(verb="extend", what="change at the seam, over the clip's largest", most=1),
    "extend.onward": Target(
        verb="extend",
        what="what rolls goes on at the picture's edge, and does not turn back",
        least=0.9,
        share=True,
    ),
    "extend.velocity": Target(verb="extend", what="change of velocity at the seam, object sizes a frame"),
    "extend.real": Target(verb="extend", what="the same in the real clip"),
    "before.kept": Target(verb="extend --before", what="given frames untouched", least=1, share=True),
    "before.seam": Target(verb="extend --before", what="change at the seam, over the clip's largest", most=1),
    "loop.close": Target(verb="loop", what="last to first change, over the median inner one", most=1),
    "loop.clip": Target(verb="loop CLIP", what="last to first change, over the median inner one", most=1),
    "connect.kept": Target(verb="connect", what="both ends untouched", least=1, share=True),
    "connect.jump": Target(verb="connect", what="largest change between, over the clips' largest", most=1),
    "edit.monotone": Target(
        verb="edit", what="farther away the stronger (0.2, 0.5, 0.8)", least=1, share=True
    ),
    "edit.colour": Target(verb="edit", what="asked colour seen, at 0.8", share=True),
    "edit.outside": Target(verb="edit --region", what="outside the region, dB", least=30),
    "recut.kept": Target(verb="recut", what="kept span untouched", least=1, share=True),
    "recut.seam": Target(verb="recut", what="change at the seams, over the clip's largest", most=1),
    "remix.colour": Target(verb="remix", what="asked colour seen", share=True),
    "remix.rest": Target(verb="remix", what="shape and event as they were", share=True),
    "storyboard.event": Target(verb="storyboard", what="each card's event seen in its span", share=True),
    "blend.monotone": Target(
        verb="blend", what="steps that lean further over (smoothed)", least=1, share=True
    ),
    "blend.ends": Target(verb="blend", what="first like A, last like B", least=1, share=True),
    "variations.distinct": Target(verb="variations", what="distance of two seeds, levels"),
    "variations.objects": Target(verb="variations", what="right objects", share=True),
    "long.colour": Target(verb="long clip", what="drift of mean colour, levels", most=4),
    "long.count": Target(verb="long clip", what="as many objects at the end as at first", share=True),
    "long.objects": Target(
        verb="long clip", what="ends with the objects that it began with", least=1, share=True
    ),
    "upscale.halved": Target(verb="--upscale 2", what="PSNR over bicubic's, halved clips, dB", least=0),
    "upscale.decoded": Target(verb="--upscale 2", what="PSNR over bicubic's, through the codec, dB", least=0),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A target with its measured value; met is None without bounds."""

    name: str
    target: Target
    estimate: Estimate
    met: bool | None


def verdicts(numbers: dict[str, list[float]]) -> Iterator[Verdict]:
    """The targets that were measured, in order."""
    for name, target in TARGETS.items():
        estimate = mean_estimate(np.array(numbers.get(name, [])))
        if estimate:
            yield Verdict(name=name, target=target, estimate=estimate, met=target.met(estimate.value))


def table(found: Iterable[Verdict]) -> str:
    """Markdown: a row for each target."""
    lines = ["| verb | measured | value | target | clips |", "|---|---|---:|---:|---:|"]
    for one in found:
        target, value = one.target, one.estimate
        scale, digits, unit = (100, 0, "%") if target.share else (1, 2, "")
        mean, low, high = (f"{scale * number:.{digits}f}" for number in (value.value, value.low, value.high))
        wanted = "" if one.met is None else f"{_wanted(target)} {'yes' if one.met else 'no'}"
        lines.append(
            f"| {target.verb} | {target.what} | {mean}{unit} [{low}, {high}] | {wanted} | {value.count} |"
        )
    return "\n".join(lines) + "\n"


def _wanted(target: Target) -> str:
    number: Any = target.least if target.least is not None else target.most
    sign = "≥" if target.least is not None else "≤"
    return f"{sign} {100 * number:.0f}%:" if target.share else f"{sign} {number:g}:"
