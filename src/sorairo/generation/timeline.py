"""The frames of a plan, from the known ones to all: what a window sees, and what it adds."""

# Letters: n frames of a window, t its latent frames, h w pixels or latent grid, c channels

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from sorairo.codec.model import Codec
from sorairo.flow.backward import backward
from sorairo.flow.windows import Window, plan_windows
from sorairo.pixels import from_frames
from sorairo.types import Plan

__all__ = ["KnownLatents", "Timeline"]

SOFT_BORDER = 4
"""Width in pixels of the fade from new to known pixels inside a region's border."""

MOVED = 16.0
"""Difference in levels from which a pixel counts as moved against the known frame beside it."""

QUIET = 5.0
"""Difference in levels up to which a pixel counts as unchanged against the known frame beside it."""

REACH = 8
"""Frames from a known one within which that is put right, less and less."""


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownLatents:
    """latents: (1 c t h w). cap: (1 t), 0 where known exactly, 1 where not at all. pinned: (1 1 t h w) or None."""

    latents: torch.Tensor
    cap: torch.Tensor
    pinned: torch.Tensor | None


class Timeline:
    """frames: uint8 (frames h w 3), right where level is 0. level: (frames,) the sigma from which a frame is made.

    given: (frames,) bool, whether there are pixels at all. inside: (frames h w) float, where a frame may
    change, or None where no plan has regions. mends: whether what the codec loses of known frames is put back beside
    them; off for models whose reference output is the raw decode.
    """

    def __init__(self, plan: Plan, step: int, mends: bool = True) -> None:
        width, height = plan.size
        self.step, self.mends, self.loop, self.spans = step, mends, plan.loop, plan.spans
        self.frames = np.zeros((plan.frames, height, width, 3), np.uint8)
        self.level = np.ones(plan.frames)
        self.given = np.zeros(plan.frames, bool)
        regions = any(known.region for known in plan.known)
        self.inside = np.ones(self.frames.shape[:3], np.float32) if regions else None
        for known in plan.known:
            place = slice(known.at, known.at + len(known.video))
            self.frames[place] = known.video.frames
            self.level[place] = 1 - known.hold
            self.given[place] = True
            if known.region and self.inside is not None:
                self.inside[place] = _inside(known.region, plan.size)
        self.turn = 0  # where a loop's way back begins: in the middle, or nowhere
        if plan.back:
            self.turn = 1 + step * ((plan.frames - 1) // step // 2)
            self.level[self.turn :] = 1 - plan.back
        self._latents: dict[int, torch.Tensor] = {}  # by the last frame of a group: c h w

    def windows(self, longest: int) -> list[Window]:
        """What is to be made, in order, `longest` frames at a time."""
        cuts = [span.start for span in self.spans[1:]]
        plan = partial(plan_windows, step=self.step, longest=longest, cuts=cuts)
        if not self.turn:
            return plan(self.level == 0, loop=self.loop)
        there = np.arange(len(self.frames)) < self.turn
        return plan(~there[there]) + plan(there, loop=True)

    def whole(self) -> list[Window]:
        """All that is to be made as one window; the timeline's length is one of the model's."""
        unknown = np.flatnonzero(self.level > 0)
        if not len(unknown):
            return []
        return [Window(start=0, stop=len(self.frames), first=int(unknown[0]), last=int(unknown[-1]) + 1)]

    def words(self, window: Window) -> str:
        """The words that hold in a window."""
        first = window.first % len(self.frames)
        return next(span.text for span in reversed(self.spans) if span.start <= first)

    def top(self, window: Window) -> float:
        """The level that a window is made from: 1, or that of the edit."""
        made = slice(window.first - window.start, window.last - window.start)
        return float(self.level[self._places(window)[made]].max())

    def known(
        self, window: Window, codec: Codec, device: torch.device, dtype: torch.dtype
    ) -> KnownLatents | None:
        """The known latents of a window; None if it has no known frames.

        The codec looks back only, so unknown frames are shown to it as repeats of the nearest known frame. Groups of
        frames that were made here keep the latents that they were decoded from.
        """
        places = self._places(window)
        given = self.given[places]
        if not given.any():
            return None
        level = self.level[places]
        cap = _groups(level, self.step, np.max)  # t
        known = np.flatnonzero(_groups(given, self.step, np.all))
        seen = self.frames[places[_nearest(given)]][: 1 + self.step * (known[-1] if len(known) else 0)]
        pixels = from_frames(seen).to(device)  # 1 3 n h w
        latents = codec.encode(pixels.to(dtype)).float()
        latents = F.pad(latents, (0, 0, 0, 0, 0, len(cap) - latents.shape[2]))  # 1 c t h w
        for group in known[known > 0]:
            kept = self._latents.get(window.start + self.step * int(group))
            if kept is not None and cap[group] == 0:
                latents[0, :, group] = kept
        pinned = None
        if self.inside is not None:
            pinned = torch.from_numpy(self._pinned(self.inside[places], latents.shape[3:]))[None, None].to(
                device
            )
        return KnownLatents(
            latents=latents, cap=torch.from_numpy(cap).float()[None].to(device), pinned=pinned
        )

    def shown(self, window: Window) -> tuple[np.ndarray, np.ndarray]:
        """(frames of a window, uint8 (n h w 3); which of their pixels are to be made, bool (n h w)). Frames that are
        kept in part, as in an edit, are to be made except outside their region."""
        places = self._places(window)
        free = np.repeat(self.level[places] > 0, self.frames[0, :, :, 0].size)
        free = free.reshape(len(places), *self.frames.shape[1:3])
        if self.inside is not None:
            free &= self.inside[places] > 0
        return self.frames[places], free

    def add(self, window: Window, pixels: np.ndarray, latents: torch.Tensor) -> None:
        """Take what a window made. pixels: uint8 (n h w 3). latents: (1 c t h w)."""
        count = len(self.frames)
        pixels = self._mended(window, pixels) if self.mends else pixels
        for frame in range(window.first, window.last):
            picture, place = pixels[frame - window.start], frame % count if self.loop else frame
            if not 0 <= place < count or self.level[place] == 0:
                continue  # beyond an end, or known
            if self.inside is not None:
                share = self.inside[place][..., None]
                picture = np.rint(share * picture + (1 - share) * self.frames[place]).astype(np.uint8)
            self.frames[place], self.level[place], self.given[place] = picture, 0, True
        if self.turn and self.given[: self.turn].all() and not self.given[self.turn :].any():
            self.frames[self.turn :] = backward(self.frames[: self.turn], len(self.frames) - self.turn)
            self.given[self.turn :] = True
        ends = range(window.start + self.step, window.stop, self.step)
        self._latents = {
            end: latents[0, :, group]
            for group, end in enumerate(ends, 1)
            if window.first <= end - self.step + 1 and end < window.last and self.inside is None
        }

    def _mended(self, window: Window, pixels: np.ndarray) -> np.ndarray:
        """Pixels (n h w 3) with the codec's loss of the known frames beside them put back where nothing moved.

        Known frames have not been through the codec and new frames have, which would show as a jump. So the
        difference between a known frame and its decoding is added to new pixels that still look like the decoding;
        between two known sides the nearer one counts more. New pixels within QUIET levels of that decoding, such as
        a still background, return to it over the REACH nearest frames. Other pixels are left alone, so intended
        changes stay.
        """
        places = self._places(window)
        sides = [
            (side, window.start + side)
            for side in (window.first - window.start - 1, window.last - window.start)
        ]
        sides = [
            (side, frame)
            for side, frame in sides
            if 0 <= side < len(places) and self.level[places[side]] == 0
        ]
        if not sides or self.inside is not None:
            return pixels
        shown = pixels.astype(np.float32)
        made = np.arange(window.start, window.stop)
        mended = shown.copy()
        for side, frame in sides:
            lost = self.frames[places[side]].astype(np.float32) - shown[side]  # h w 3
            change = shown - shown[side]  # n h w 3
            moved = np.abs(change).max(axis=-1, keepdims=True)  # n h w 1
            far = (
                np.abs(made - frame) / (window.last - window.first + 1)
                if len(sides) == 2
                else np.zeros(len(made))
            )
            near = (1 - far).clip(0, 1)[:, None, None, None]
            mended += near * np.exp(-np.square(moved / MOVED)) * lost
            close = (1 - (np.abs(made - frame) - 1) / REACH).clip(0, 1)[:, None, None, None]
            mended -= near * close * np.exp(-np.square(moved / QUIET)) * change
        return np.rint(mended).clip(0, 255).astype(np.uint8)

    def _places(self, window: Window) -> np.ndarray:
        """(n,) the timeline frame that each frame of a window shows; after the known frames the last one repeats."""
        frames = np.arange(window.start, window.stop)
        count = len(self.frames)
        places = frames % count if self.loop else frames.clip(0, count - 1)
        for after in range(window.last - window.start, len(places)):
            if self.level[places[after]] > 0 and self.level[places[after - 1]] == 0:
                places[after] = places[after - 1]
        return places

    def _pinned(self, inside: np.ndarray, grid: tuple[int, ...]) -> np.ndarray:
        """(t h w) bool: the latent positions where no pixel may change. inside: (n h w)."""
        rows, columns = (pixels // cells for pixels, cells in zip(inside.shape[1:], grid, strict=True))
        cells = inside.reshape(len(inside), grid[0], rows, grid[1], columns).max(axis=(2, 4))  # n h' w'
        return _groups(cells, self.step, np.max) == 0


def _groups(values: np.ndarray, step: int, reduce: Callable[..., np.ndarray]) -> np.ndarray:
    """Values of frames (n ...), 1 + step k of them -> of latent frames (t ...)."""
    rest = values[1:].reshape(-1, step, *values.shape[1:])
    return np.concatenate([values[:1], reduce(rest, axis=1)])


def _nearest(given: np.ndarray) -> np.ndarray:
    """(n,) for each frame the nearest known one; of two the earlier."""
    known = np.flatnonzero(given)
    return known[np.abs(np.arange(len(given))[:, None] - known).argmin(axis=1)]


def _inside(region: tuple[int, int, int, int], size: tuple[int, int]) -> np.ndarray:
    """(h w) float: 0 outside the region, rising to 1 within its soft border, except at the picture's own edge."""
    x, y, w, h = region
    ramps = []
    for start, length, whole in ((y, h, size[1]), (x, w, size[0])):
        place = np.arange(whole) + 0.5
        before = (place - start) / SOFT_BORDER + 0.5 if start > 0 else np.full(whole, np.inf)
        after = (
            (start + length - place) / SOFT_BORDER + 0.5 if start + length < whole else np.full(whole, np.inf)
        )
        within = (place > start) & (place < start + length)
        ramps.append(np.minimum(before, after).clip(0, 1) * within)
    return (ramps[0][:, None] * ramps[1]).astype(np.float32)
