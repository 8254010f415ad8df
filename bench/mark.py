"""The invisible mark: how visible and how fast it is, what it survives, what removes it, and false alarms.

    python bench/mark.py [--clips 100] [--size 256x256] [--hard 20] [--keys 20] [--goal] [--keep FILE]

Clips of the studio, 17 frames, of three circles in turn, seeds that nothing is trained on. A row says for how many
clips all 32 bits came back, with Wilson's 95% interval. --hard: clips for the slow rows, where the search often finds
nothing. --goal: the five changes of the goal alone. Ctrl-C prints what was measured so far. --keep: a file of counts,
with which the same command goes on after it was stopped. False alarms: unmarked clips under --keys other keys each;
beside the count, how often the bound on the chance was below one in ten, which random pictures should reach at most
that often.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageFilter

from sorairo.jobs.request import parsed_size
from sorairo.safety import mark
from sorairo.safety.mark_search import detect
from sorairo.safety.redteam.report import wilson
from sorairo.worlds.studio import Studio

SEED = 900_000
GOAL = ("H.264, CRF 28", "half size", "15% cropped off each side", "12 frames a second, CRF 28", "GIF")


def encoded(frames: np.ndarray, codec: str, fps: int = 8, **options: str) -> np.ndarray:
    """Through a video codec and back (t h w 3)."""
    file, (height, width) = io.BytesIO(), (side // 2 * 2 for side in frames.shape[1:3])
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=fps, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames[:, :height, :width]:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def each(change: Callable[[Image.Image], Image.Image], frames: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(change(Image.fromarray(frame)).convert("RGB")) for frame in frames])


def scaled(frames: np.ndarray, by: float) -> np.ndarray:
    size = tuple(round(side * by) for side in frames.shape[2:0:-1])
    return each(lambda image: image.resize(size, Image.Resampling.BICUBIC), frames)


def cropped(frames: np.ndarray, off: float, random: np.random.Generator) -> np.ndarray:
    """A part that lies anywhere; `off`: of each side."""
    h, w = (round(side * (1 - off)) for side in frames.shape[1:3])
    top, left = random.integers(frames.shape[1] - h + 1), random.integers(frames.shape[2] - w + 1)
    return frames[:, top : top + h, left : left + w]


def gif(frames: np.ndarray) -> np.ndarray:
    palette = Image.fromarray(frames.reshape(-1, frames.shape[2], 3)).quantize(256, Image.Quantize.MEDIANCUT)
    return each(lambda image: image.quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG), frames)


def jpeg(image: Image.Image) -> Image.Image:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=40)
    return Image.open(file)


def beside(frames: np.ndarray) -> np.ndarray:
    """In the corner of a black picture of twice the size."""
    return np.pad(frames, ((0, 0), (0, frames.shape[1]), (0, frames.shape[2]), (0, 0)))


def averaged_out(frames: np.ndarray) -> np.ndarray:
    """Without what all frames share in their fine detail, which a mark is: an attack that needs no key."""
    fine = [
        frame.astype(np.float32) - np.asarray(Image.fromarray(frame).filter(ImageFilter.GaussianBlur(3)))
        for frame in frames
    ]
    shared = np.mean([np.clip(part, -6, 6) for part in fine], 0)
    return np.clip(frames - shared + 0.5, 0, 255).astype(np.uint8)


def at_rate(frames: np.ndarray, old: float, new: float) -> np.ndarray:
    count = round(len(frames) * new / old)
    return frames[np.minimum((np.arange(count) * old / new).astype(int), len(frames) - 1)]


def attacks(random: np.random.Generator) -> dict[str, tuple[bool, Callable[[np.ndarray], np.ndarray]]]:
    """Name -> (among the slow rows, what it does to frames)."""
    return {
        "none": (False, lambda f: f),
        "H.264, CRF 28": (False, lambda f: encoded(f, "libx264", crf="28")),
        "half size": (False, lambda f: scaled(f, 0.5)),
        "15% cropped off each side": (False, lambda f: cropped(f, 0.15, random)),
        "12 frames a second, CRF 28": (False, lambda f: encoded(at_rate(f, 8, 12), "libx264", 12, crf="28")),
        "GIF": (False, gif),
        "half size, CRF 28": (False, lambda f: encoded(scaled(f, 0.5), "libx264", crf="28")),
        "15% cropped, half size, CRF 28": (
            True,
            lambda f: encoded(scaled(cropped(f, 0.15, random), 0.5), "libx264", crf="28"),
        ),
        "one frame, JPEG 40": (False, lambda f: each(jpeg, f[8:9])),
        "CRF 36": (False, lambda f: encoded(f, "libx264", crf="36")),
        "VP9, CRF 40": (False, lambda f: encoded(f, "libvpx-vp9", crf="40", **{"b:v": "0", "cpu-used": "8"})),
        "brighter by a fifth, gamma 1.2": (
            False,
            lambda f: np.clip(255 * (np.minimum(1, f / 255 * 1.2)) ** 1.2, 0, 255).astype(np.uint8),
        ),
        "noise of 8 levels": (
            False,
            lambda f: np.clip(f + random.normal(0, 8, f.shape), 0, 255).astype(np.uint8),
        ),
        "mirrored": (True, lambda f: f[:, :, ::-1]),
        "blurred, 2 px": (True, lambda f: each(lambda image: image.filter(ImageFilter.GaussianBlur(2)), f)),
        "blurred, 4 px": (True, lambda f: each(lambda image: image.filter(ImageFilter.GaussianBlur(4)), f)),
        "without what all frames share": (True, averaged_out),
        "an eighth of the size": (True, lambda f: scaled(f, 0.125)),
        "CRF 45": (True, lambda f: encoded(f, "libx264", crf="45")),
        "40% cropped off each side": (True, lambda f: cropped(f, 0.4, random)),
        "turned by 1 degree": (
            True,
            lambda f: each(lambda image: image.rotate(1, Image.Resampling.BICUBIC), f),
        ),
        "turned by 5 degrees": (
            True,
            lambda f: each(lambda image: image.rotate(5, Image.Resampling.BICUBIC), f),
        ),
        "a quarter of a larger picture": (
            True,
            lambda f: np.pad(f, ((0, 0), (0, f.shape[1]), (0, f.shape[2]), (0, 0))),
        ),
    }


@dataclass
class Counts:
    """What was measured so far. right, tried: clips for each attack. spent: processor seconds of marking `frames`.
    decibels: of each clip. alarms, likely, looked: of unmarked ones."""

    right: dict[str, int] = field(default_factory=dict)
    tried: dict[str, int] = field(default_factory=dict)
    spent: float = 0.0
    frames: int = 0
    decibels: list[float] = field(default_factory=list)
    alarms: int = 0
    likely: int = 0
    looked: int = 0

    @classmethod
    def read(cls, path: Path | None) -> Counts:
        return cls(**json.loads(path.read_text())) if path and path.exists() else cls()


def measure(
    clip: np.ndarray, key: bytes, random: np.random.Generator, kept: Counts, hard: bool, goal: bool = False
) -> None:
    """Mark a clip (t h w 3), attack it in every way (the slow ones if `hard`, those of GOAL alone if `goal`), and count
    what is read back."""
    payload = int(random.integers(2**32))
    start = time.process_time()
    marked = mark.embed(clip, payload, key)
    kept.spent, kept.frames = kept.spent + time.process_time() - start, kept.frames + len(clip)
    kept.decibels.append(float(10 * np.log10(255**2 / ((marked.astype(float) - clip) ** 2).mean())))
    for name, (slow, attack) in attacks(random).items():
        if (slow and not hard) or (goal and name not in GOAL):
            continue
        found = detect(attack(marked), key)
        kept.tried[name] = kept.tried.get(name, 0) + 1
        kept.right[name] = kept.right.get(name, 0) + (found is not None and found.payload == payload)


def interval(good: int, of: int) -> str:
    """A share in per cent with Wilson's 95% interval."""
    low, high = wilson(good, of)
    return f"{100 * good / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--clips", type=int, default=100)
    options.add_argument("--size", default="256x256")
    options.add_argument("--hard", type=int, default=20)
    options.add_argument("--keys", type=int, default=20)
    options.add_argument("--goal", action="store_true")
    options.add_argument("--keep", type=Path)
    chosen = options.parse_args()
    size = parsed_size(chosen.size) or (256, 256)
    key, world, kept = b"a key for measurements, 32 bytes", Studio(), Counts.read(chosen.keep)
    grid = mark.grid_of(size[1], size[0])
    mark.patterns(key, grid)
    with suppress(KeyboardInterrupt):
        for index in range(len(kept.decibels), chosen.clips):
            random = np.random.default_rng(index)
            clip = world.clip(SEED + index, size=size, circle=index % 3).video.frames
            measure(clip, key, random, kept, index < chosen.hard, chosen.goal)
            plain = mark.evened(clip, grid)
            for _ in range(chosen.keys):
                found = mark.read(plain, os.urandom(32), grid, 2)
                kept.alarms += found.chance < mark.FALSE_ALARMS
                kept.likely += found.chance < 0.1
                kept.looked += 1
            if chosen.keep:
                chosen.keep.write_text(json.dumps(vars(kept)))
    quality = f"PSNR {np.mean(kept.decibels):.1f} dB (least {min(kept.decibels):.1f})"
    each_ms = 1000 * kept.spent / kept.frames
    print(f"{len(kept.decibels)} clips of {chosen.size}: {quality}, {each_ms:.1f} processor ms a frame\n")
    print("| attack | all 32 bits, % of clips | clips |\n|---|---:|---:|")
    for name, tried in kept.tried.items():
        print(f"| {name} | {interval(kept.right[name], tried)} | {tried} |")
    print(f"\nUnmarked: {kept.alarms} of {kept.looked} called marked; bound below 0.1: {kept.likely}.")


if __name__ == "__main__":
    main()
