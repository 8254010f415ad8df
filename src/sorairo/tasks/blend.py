"""Blend two clips: the output begins as one, ends as the other, and changes over step by step."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sorairo.tasks.abilities import Abilities
from sorairo.tasks.ask import Ask
from sorairo.tasks.inputs import fitted, need_clip, size_for
from sorairo.types import Known, Plan, Span, UserError, Video

__all__ = ["CURVES", "blend"]

FREEDOM = 0.8
"""The noise level in the middle, where the clips are mixed evenly and the model has to make one thing of two."""

CURVES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "linear": lambda u: u,
    "smooth": lambda u: u * u * (3 - 2 * u),
    "late": lambda u: u**3,
    "early": lambda u: 1 - (1 - u) ** 3,
}
"""Share of time -> share of the second clip; each rises from 0 to 1."""


def blend(
    first: Video,
    last: Video,
    words: tuple[str, str],
    model: Abilities,
    ask: Ask | None = None,
    *,
    curve: str = "smooth",
) -> Plan:
    """A clip that turns from `first` into `last`, as long as the shorter of them (in whole steps of the model).

    words: of the first and of the second half; equal words hold throughout. Each latent frame starts from a mix of
    both clips by the curve, with more noise the more evenly the clips are mixed, so that the model makes one thing of
    them. The ends are kept exactly. Raises UserError.
    """
    ask = ask or Ask()
    if curve not in CURVES:
        raise UserError(f"There is no curve {curve!r}; choose one of {', '.join(CURVES)}.")
    if ask.timed:
        raise UserError("A blend is as long as the shorter of its clips; leave the length out.")
    for clip in (first, last):
        need_clip(clip, "blend", "connect pictures instead")
    size = size_for(first, model, ask)
    a, b = (fitted(one, model, size, ask.fit) for one in (first, last))
    steps = (min(len(a), len(b)) - 1) // model.step
    if steps < 2:
        raise UserError(f"A clip is too short to blend; give at least {1 + 2 * model.step} frames of each.")
    frames = 1 + model.step * steps
    share = CURVES[curve](np.minimum(np.arange(frames) / (frames - model.step), 1.0))  # frames
    mixed = np.rint((1 - share)[:, None, None, None] * a.frames[:frames]
                    + share[:, None, None, None] * b.frames[:frames]).astype(np.uint8)  # fmt: skip
    known = []
    for step in range(steps + 1):
        part = slice(max(0, model.step * (step - 1) + 1), model.step * step + 1)
        level = float(np.max(FREEDOM * 4 * share[part] * (1 - share[part])))
        video = Video(frames=mixed[part], fps=model.fps)
        for clip, pure in ((a, 0.0), (b, 1.0)):  # frames of one clip alone keep that clip's origin
            if np.all(share[part] == pure):
                video = clip.part(part.start, part.stop)
        known.append(Known(video=video, at=part.start, hold=1 - level))
    spans = (Span(text=words[0]),)
    if words[1] != words[0]:
        spans += (Span(text=words[1], start=frames // 2),)
    return ask.plan(model, spans, frames, tuple(known))
