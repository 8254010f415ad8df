"""A timeline of any length as windows that a model can make, each beside frames that are known by then.

Frames only: no tensors and no network. A window is 1 + step k frames, as the model was trained on: its first frame
stands alone, and each following latent frame covers `step` frames. So a window begins at a frame whose latent the
model always saw as a still's, wherever on the timeline that is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

__all__ = ["Window", "plan_windows"]


@dataclass(frozen=True, kw_only=True)
class Window:
    """start, stop: the frames seen at once. first, last: those of them that are made, up to, not including, last.

    Frames may lie before 0 or beyond the end of the timeline; on a loop they are counted on, round the circle.
    """

    start: int
    stop: int
    first: int
    last: int


@dataclass(frozen=True, kw_only=True)
class Reach:
    """What one window can hold. step: frames per latent frame. groups: latent frames after the first, at most.
    overlap: how many of them are spent on known frames, on each side, where several windows are needed."""

    step: int
    groups: int
    overlap: int


def plan_windows(
    firm: np.ndarray,
    *,
    step: int,
    longest: int,
    cuts: Sequence[int] = (),
    loop: bool = False,
    overlap: int = 8,
) -> list[Window]:
    """The windows, in the order in which they are to be made, after which every frame is known.

    firm: (frames,) bool, the frames known at the start. longest: frames of a window, 1 + step k. cuts: frames at
    which a new window begins, from the frame before alone (other words hold from there).
    overlap: frames. A gap that fits into one window with known frames on each side is one window. A longer gap is
    filled from the known frames before it (or, without any, backward from those after it) until the rest fits.
    Without known frames the first window begins at 0.
    """
    assert (longest - 1) // step >= 3 or (not firm.any() and not loop and len(firm) <= longest)
    reach = Reach(
        step=step,
        groups=(longest - 1) // step,
        overlap=max(1, min(round(overlap / step), (longest - 1) // step // 3)),
    )
    known = firm.copy()
    made: list[Window] = []
    while not known.all():
        window = _next(known, reach, cuts, loop)
        made.append(window)
        frames = np.arange(window.first, window.last)
        known[frames % len(known) if loop else frames[(frames >= 0) & (frames < len(known))]] = True
    return made


def _next(known: np.ndarray, reach: Reach, cuts: Sequence[int], loop: bool) -> Window:
    """The window that is made next: at the first gap."""
    a, b = _gap(known, loop)
    before, after = _count(known, a, -1, loop), _count(known, b, 1, loop)
    if not before and after:
        a = max((cut for cut in cuts if a < cut < b), default=a)
        return _backward(a, b, after, reach)
    ends = sorted(cut + turn * len(known) for cut in cuts for turn in range(2 if loop else 1))
    stop = next((cut for cut in ends if a < cut < b), b)
    if not before:
        # Of a loop only half is made out of nothing: the other half has to lead back to its beginning.
        room = (len(known) - 1) // reach.step // 2 if loop else reach.groups
        return _first(a, stop, reach, max(1, room))
    if a in ends:  # more than one frame of what was would say to go on with it, and louder than the words
        before = 1
    if after and stop == b:
        return _between(a, b, before, after, reach)
    return _forward(a, stop, before, reach)


def _gap(known: np.ndarray, loop: bool) -> tuple[int, int]:
    """The first run of frames that are not known; on a loop one that begins behind something known."""
    unknown = np.flatnonzero(~known)
    a = int(unknown[0])
    if loop and known.any():
        a = int(next(frame for frame in unknown if known[frame - 1]))
    b, end = a, a + len(known) if loop else len(known)
    while b < end and not known[b % len(known)]:
        b += 1
    return a, b


def _count(known: np.ndarray, frame: int, way: int, loop: bool) -> int:
    """How many frames in a row are known: from `frame` on (way = 1), or up to it (way = -1)."""
    count, here = 0, frame if way > 0 else frame - 1
    while count < len(known) and (loop or 0 <= here < len(known)) and known[here % len(known)]:
        count, here = count + 1, here + way
    return count


def _first(a: int, b: int, reach: Reach, room: int) -> Window:
    """Out of nothing."""
    groups = min(-(-(b - a - 1) // reach.step), reach.groups, room)
    return Window(
        start=a, stop=a + 1 + reach.step * groups, first=a, last=min(b, a + 1 + reach.step * groups)
    )


def _forward(a: int, b: int, before: int, reach: Reach) -> Window:
    """A window after the known frames, with as many of them as fit; it may or may not reach b."""
    context = (before - 1) // reach.step  # groups behind the first frame
    need = -(-(b - a) // reach.step)
    groups = min(need, reach.groups - min(context, reach.overlap))
    context = min(context, reach.groups - groups)
    stop = a + reach.step * groups
    return Window(start=a - 1 - reach.step * context, stop=stop, first=a, last=min(b, stop))


def _backward(a: int, b: int, after: int, reach: Reach) -> Window:
    """The other way: what comes before something known."""
    context = max(1, after // reach.step)  # a still fills a group
    need = -(-(b - a - 1) // reach.step)
    groups = min(need, reach.groups - min(context, reach.overlap))
    context = min(context, reach.groups - groups)
    start = b - 1 - reach.step * groups
    return Window(start=start, stop=b + reach.step * context, first=max(a, start), last=b)


def _between(a: int, b: int, before: int, after: int, reach: Reach) -> Window:
    """From one known thing to another; a gap that does not fit is first made shorter from its beginning."""
    need = -(-(b - a) // reach.step)
    over = reach.step * need - (b - a)  # known frames that share a group with the gap's end
    left, right = (before - 1) // reach.step, max(1, (after - over) // reach.step)  # a still fills a group
    room = reach.groups - min(left, reach.overlap) - min(right, reach.overlap)
    if need > room:
        # What is left for the last window should be all that it can hold.
        later = max(1, reach.groups - reach.overlap - min(right, reach.overlap))
        return _forward(a, a + reach.step * max(1, need - later), before, reach)
    spare = reach.groups - need
    right = min(right, max(min(right, reach.overlap), spare - left))
    left = min(left, spare - right)
    start = a - 1 - reach.step * left
    return Window(start=start, stop=a + reach.step * (need + right), first=a, last=b)
