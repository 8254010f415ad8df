"""One file, decoded once from end to end: its shots, each with its figures. No header is believed."""

from __future__ import annotations

import io
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sorairo.data.build.extras import needed
from sorairo.data.build.figures import Shot, bar_box, flow_speed, is_repeat, pdq, sharpness, shrunk
from sorairo.data.build.text import Box, like_text, text_boxes, text_share
from sorairo.types import UserError
from sorairo.video.guards import checked, decoding
from sorairo.video.moments import Moment
from sorairo.video.read import moments_of

__all__ = ["Frame", "Scenes", "examine", "shots_of"]

SMALL = 160
"""Pixels of the longer side at which cuts and motion are looked for."""
CLOSE = 640
"""And at which a picture is kept for a closer look."""
KEPT = 8
"""Pictures of a shot that are kept; when there are more, every second goes, and they are taken half as often."""
EVERY = 0.25
"""Seconds between two of them at first."""
STEP = 0.1
"""Seconds after which a picture is to have changed. From one frame to the next of 60 or 120 a second hardly anything
moves, and drawn films show every picture two or three times."""


@dataclass(frozen=True, kw_only=True)
class Scenes:
    """See [scenes] in filters.toml."""

    ratio: float
    change: float
    shortest: float


@dataclass(frozen=True, kw_only=True, eq=False)
class Frame:
    """A frame on its way. since: the time of an earlier one, STEP before; infinite where there is none. repeat: of that
    one. light: 0 to 255. speed: see figures; None where not measured."""

    number: int
    time: float
    since: float
    repeat: bool
    light: float
    speed: float | None
    picture: np.ndarray
    size: tuple[int, int]


class Gathering:
    """The frames of one shot, as they come, and what they come to."""

    def __init__(self) -> None:
        self.frames = 0
        self.first: Frame | None = None
        self.compared, self.repeats, self.light = 0, 0, 0.0
        self.speeds: list[float] = []
        self.pictures: list[np.ndarray] = []
        self.every, self.next = EVERY, 0.0

    def add(self, frame: Frame) -> None:
        """One more frame, in order."""
        if self.first is None:
            self.first = frame
            self.next = frame.time
        elif self.first.time <= frame.since < frame.time:  # not with a frame of another shot
            self.compared += 1
            self.repeats += frame.repeat
            if frame.speed is not None:
                self.speeds.append(frame.speed)
        self.frames += 1
        self.light += frame.light
        if frame.time >= self.next:
            self.pictures.append(frame.picture)
            self.next = frame.time + self.every
            if len(self.pictures) > KEPT:
                self.pictures = self.pictures[::2]
                self.every *= 2

    def lasts(self, end: float, seconds: float) -> bool:
        """Whether there are frames, and from the first of them to `end` as many seconds."""
        return self.first is not None and end - self.first.time > seconds - 1e-6

    def shot(self, end: float) -> Shot:
        """The shot that ends at that second."""
        assert self.first is not None
        pictures = [one for one in self.pictures if one.shape == self.pictures[0].shape]
        width, height = self.first.size
        near = pictures[0].shape[1], pictures[0].shape[0]
        some = [pictures[0], pictures[len(pictures) // 2], pictures[-1]][: len(pictures)]
        left, top, right, bottom = bar_box(pictures)
        covered = 1 - (right - left) * (bottom - top) / (near[0] * near[1])
        boxes = _text(some)
        inside = [one[top:bottom, left:right] for one in some]
        moved = [[(a - left, b - top, c - left, d - top) for a, b, c, d in found] for found in boxes]
        figures = {
            "frozen": self.repeats / max(1, self.compared),
            "motion": float(np.mean(self.speeds)) if self.speeds else 0.0,
            "sharpness": float(np.median([sharpness(*pair) for pair in zip(inside, moved, strict=True)])),
            "bars": covered,
            "light": self.light / self.frames,
            "text": max(text_share(found, near) for found in boxes),
        }
        across, down = width / near[0], height / near[1]
        box = round(left * across), round(top * down), round(right * across), round(bottom * down)
        return Shot(
            start=self.first.number,
            stop=self.first.number + self.frames,
            begin=round(self.first.time, 6),
            end=round(end, 6),
            size=self.first.size,
            figures={name: float(f"{value:.4g}") for name, value in figures.items()},
            box=box,
            hashes=tuple(dict.fromkeys(pdq(one) for one in inside)),
            look=_strip(pictures),
        )


def examine(path: Path, scenes: Scenes) -> list[Shot]:
    """The shots of a file, in order. Raises UserError for a file that is broken or is neither a video nor a picture."""
    path, frames = checked(path), 0

    def counted() -> Iterator[Moment]:
        nonlocal frames
        for moment in moments_of(path, most=None):
            frames += 1
            yield moment

    with decoding(path):
        found = list(shots_of(counted(), scenes))
    if not frames:
        raise UserError(f"{path} holds no frames.")
    if not found:
        raise UserError(f"{path} is cut too often: none of its shots lasts {scenes.shortest:g} s.")
    return found


def shots_of(moments: Iterator[Moment], scenes: Scenes) -> Iterator[Shot]:
    """Shots of a stream of moments; of the pictures only a few of each shot are held.

    What lasts less than scenes.shortest between two cuts, or beside one, is in no shot.
    """
    cuts, waiting, gathering = _Cuts(scenes), deque[Frame](), Gathering()
    end, was_cut = 0.0, False
    for frame, image, last in _measured(moments):
        end = last
        waiting.append(frame)
        for number in cuts.look(frame, image):
            while waiting and waiting[0].number < number:
                gathering.add(waiting.popleft())
            if gathering.lasts(waiting[0].time, scenes.shortest):
                yield gathering.shot(waiting[0].time)
            gathering, was_cut = Gathering(), True
        while len(waiting) > cuts.behind:
            gathering.add(waiting.popleft())
    for frame in waiting:
        gathering.add(frame)
    if gathering.lasts(end, scenes.shortest if was_cut else 0.0):
        yield gathering.shot(end)


class _Cuts:
    """PySceneDetect's adaptive detector on numbered frames: their times may vary, so it is never told a rate."""

    def __init__(self, scenes: Scenes) -> None:
        needed("scenedetect")
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector

        self.timecode = FrameTimecode
        self.detector = AdaptiveDetector(
            adaptive_threshold=scenes.ratio, min_content_val=scenes.change, min_scene_len=1
        )
        self.behind = self.detector.event_buffer_length + 1

    def look(self, frame: Frame, image: np.ndarray) -> list[int]:
        """Numbers of frames that begin a shot and were not known to before; image: small, BGR."""
        found = self.detector.process_frame(self.timecode(frame.number, 25.0), image)
        return [cut.frame_num for cut in found]


def _measured(moments: Iterator[Moment]) -> Iterator[tuple[Frame, np.ndarray, float]]:
    """Each frame, the small picture of it (BGR) that cuts are looked for in, and the second at which it ends."""
    cv2 = needed("cv2")
    past, looked = deque[tuple[float, np.ndarray]](), -EVERY  # the newest that is STEP earlier, and all since
    for number, moment in enumerate(moments):
        picture = moment.picture()
        close = shrunk(picture, CLOSE)
        small = shrunk(close, SMALL)
        grey = cv2.cvtColor(small, cv2.COLOR_RGB2GRAY)
        if past and past[-1][1].shape != grey.shape:
            past.clear()
        while len(past) > 1 and past[1][0] <= moment.time - STEP + 1e-6:
            past.popleft()
        since, repeat, speed = float("inf"), False, None
        if past and past[0][0] <= moment.time - STEP + 1e-6:
            since, earlier = past[0]
            repeat = is_repeat(grey, earlier)
            if moment.time - looked >= EVERY:
                looked = moment.time
                then, before = past[0] if is_repeat(grey, past[-1][1]) else past[-1]
                speed = 0.0 if repeat else flow_speed(grey, before, moment.time - then)
        past.append((moment.time, grey))
        frame = Frame(
            number=number,
            time=moment.time,
            since=since,
            repeat=repeat,
            light=float(grey.mean()),
            speed=speed,
            picture=close,
            size=(picture.shape[1], picture.shape[0]),
        )
        yield frame, np.ascontiguousarray(small[:, :, ::-1]), moment.time + moment.length


def _text(pictures: list[np.ndarray]) -> list[list[Box]]:
    """Text in each picture: in one after the other, until one has none."""
    found: list[list[Box]] = []
    for picture in pictures:
        found.append(text_boxes(picture) if like_text(picture) else [])
    return found


def _strip(pictures: list[np.ndarray], height: int = 72) -> bytes:
    """Up to four pictures side by side, as WebP."""
    indices = sorted({round(index) for index in np.linspace(0, len(pictures) - 1, min(4, len(pictures)))})
    images = [Image.fromarray(pictures[index]) for index in indices]
    images = [image.resize((max(1, round(image.width * height / image.height)), height)) for image in images]
    page = Image.new("RGB", (sum(image.width + 2 for image in images) - 2, height), "white")
    left = 0
    for image in images:
        page.paste(image, (left, 0))
        left += image.width + 2
    file = io.BytesIO()
    page.save(file, "WEBP", quality=80, method=2)
    return file.getvalue()
