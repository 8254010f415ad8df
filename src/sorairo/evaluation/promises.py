"""What every verb promises, and the table of what became of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from sorairo.evaluation.metrics import Estimate, mean_estimate

__all__ = ["PROMISES", "Promise", "Verdict", "table", "verdicts"]


@dataclass(frozen=True, kw_only=True)
class Promise:
    """verb and what is measured, as the table names them; least, most: what is asked of the mean, if anything."""

    verb: str
    what: str
    least: float | None = None
    most: float | None = None
    share: bool = False

    def met(self, value: float) -> bool | None:
        """None where nothing is asked."""
        if self.least is None and self.most is None:
            return None
        return (self.least is None or value >= self.least) and (self.most is None or value <= self.most)


PROMISES = {
    "still.objects": Promise(verb="still image", what="right objects", share=True),
    "framing.wide": Promise(verb="generate, wide", what="frames with the object wholly inside", share=True),
    "framing.tall": Promise(verb="generate, tall", what="frames with the object wholly inside", share=True),
    "framing.real": Promise(
        verb="real clips, square", what="frames with the object wholly inside", share=True
    ),
    "animate.first": Promise(verb="animate", what="first frame, dB", least=60),
    "animate.event": Promise(verb="animate", what="right event", share=True),
    "animate.motion": Promise(verb="animate", what="motion error, object sizes"),
    "animate.real": Promise(verb="animate", what="the same in the real clip"),
    "extend.kept": Promise(verb="extend", what="given frames untouched", least=1, share=True),
    "extend.seam": Promise(verb="extend", what="change at the seam, over the clip's largest", most=1),
    "extend.onward": Promise(
        verb="extend",
        what="what rolls goes on at the picture's edge, and does not turn back",
        least=0.9,
        share=True,
    ),
    "extend.velocity": Promise(verb="extend", what="change of velocity at the seam, object sizes a frame"),
    "extend.real": Promise(verb="extend", what="the same in the real clip"),
    "before.kept": Promise(verb="extend --before", what="given frames untouched", least=1, share=True),
    "before.seam": Promise(
        verb="extend --before", what="change at the seam, over the clip's largest", most=1
    ),
    "loop.close": Promise(verb="loop", what="last to first change, over the median inner one", most=1),
    "loop.clip": Promise(verb="loop CLIP", what="last to first change, over the median inner one", most=1),
    "connect.kept": Promise(verb="connect", what="both ends untouched", least=1, share=True),
    "connect.jump": Promise(verb="connect", what="largest change between, over the clips' largest", most=1),
    "edit.monotone": Promise(
        verb="edit", what="farther away the stronger (0.2, 0.5, 0.8)", least=1, share=True
    ),
    "edit.colour": Promise(verb="edit", what="asked colour seen, at 0.8", share=True),
    "edit.outside": Promise(verb="edit --region", what="outside the region, dB", least=30),
    "recut.kept": Promise(verb="recut", what="kept span untouched", least=1, share=True),
    "recut.seam": Promise(verb="recut", what="change at the seams, over the clip's largest", most=1),
    "remix.colour": Promise(verb="remix", what="asked colour seen", share=True),
    "remix.rest": Promise(verb="remix", what="shape and event as they were", share=True),
    "storyboard.event": Promise(verb="storyboard", what="each card's event seen in its span", share=True),
    "blend.monotone": Promise(
        verb="blend", what="steps that lean further over (smoothed)", least=1, share=True
    ),
    "blend.ends": Promise(verb="blend", what="first like A, last like B", least=1, share=True),
    "variations.distinct": Promise(verb="variations", what="distance of two seeds, levels"),
    "variations.objects": Promise(verb="variations", what="right objects", share=True),
    "long.colour": Promise(verb="long clip", what="drift of mean colour, levels"),
    "long.count": Promise(verb="long clip", what="as many objects at the end as at first", share=True),
    "upscale.halved": Promise(verb="--upscale 2", what="PSNR over bicubic's, halved clips, dB", least=0),
    "upscale.decoded": Promise(
        verb="--upscale 2", what="PSNR over bicubic's, through the codec, dB", least=0
    ),
}


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """A promise and what became of it; met is None where nothing was asked."""

    name: str
    promise: Promise
    estimate: Estimate
    met: bool | None


def verdicts(numbers: dict[str, list[float]]) -> Iterator[Verdict]:
    """The promises that were measured, in their order."""
    for name, promise in PROMISES.items():
        estimate = mean_estimate(np.array(numbers.get(name, [])))
        if estimate:
            yield Verdict(name=name, promise=promise, estimate=estimate, met=promise.met(estimate.value))


def table(found: Iterable[Verdict]) -> str:
    """Markdown: a row per promise."""
    lines = ["| verb | measured | value | asked | clips |", "|---|---|---:|---:|---:|"]
    for one in found:
        promise, value = one.promise, one.estimate
        scale, digits, unit = (100, 0, "%") if promise.share else (1, 2, "")
        mean, low, high = (f"{scale * number:.{digits}f}" for number in (value.value, value.low, value.high))
        asked = "" if one.met is None else f"{_asked(promise)} {'yes' if one.met else 'no'}"
        lines.append(
            f"| {promise.verb} | {promise.what} | {mean}{unit} [{low}, {high}] | {asked} | {value.count} |"
        )
    return "\n".join(lines) + "\n"


def _asked(promise: Promise) -> str:
    number: Any = promise.least if promise.least is not None else promise.most
    sign = "≥" if promise.least is not None else "≤"
    return f"{sign} {100 * number:.0f}%:" if promise.share else f"{sign} {number:g}:"
