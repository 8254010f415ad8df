"""Did we make this? Recall on altered copies, false alarms among other clips, and milliseconds a query.

    python bench/whose.py [--copies 60] [--rendered 1000] [--others 5000] [--rows 1000000]

The index holds --copies clips of the studio of 96 x 96, 17 frames, and --others more: --rendered clips of the studio of
64 x 64, the rest drawn here (soft grounds with discs and boxes that move), which is much faster. Each copy is altered
in every way, and asked for: right if it is found, wrong for every other clip that is named. Then clips that are not in
the index are asked for. Shares have Wilson's 95% interval. --rows: simulated frames of the largest index. Ctrl-C ends
the rendering of others early.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator

import av
import numpy as np
from PIL import Image

from sorairo.safety.fingerprints import Fingerprint, fingerprint, query_of
from sorairo.safety.index import Entry, Index
from sorairo.safety.redteam.report import wilson
from sorairo.types import Video
from sorairo.worlds.studio import Studio

COPIES, OTHERS, NEW = 900_000, 100_000, 950_000
"""First seeds of the copies, of the others, and of clips that are in no index."""


def encoded(frames: np.ndarray, crf: int) -> np.ndarray:
    """Through H.264 and back (t h w 3)."""
    file, (height, width) = io.BytesIO(), (side // 2 * 2 for side in frames.shape[1:3])
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": str(crf)})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for frame in frames[:, :height, :width]:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def scaled(frames: np.ndarray, by: float) -> np.ndarray:
    size = tuple(round(side * by) for side in frames.shape[2:0:-1])
    return np.stack([np.asarray(Image.fromarray(frame).resize(size)) for frame in frames])


def cropped(frames: np.ndarray, off: float, random: np.random.Generator) -> np.ndarray:
    h, w = (round(side * (1 - off)) for side in frames.shape[1:3])
    top, left = random.integers(frames.shape[1] - h + 1), random.integers(frames.shape[2] - w + 1)
    return frames[:, top : top + h, left : left + w]


def alterations(random: np.random.Generator) -> dict[str, Callable[[np.ndarray], tuple[np.ndarray, float]]]:
    """Name -> frames to (frames, frames a second)."""
    return {
        "H.264, CRF 30": lambda f: (encoded(f, 30), 8),
        "half size": lambda f: (scaled(f, 0.5), 8),
        "half size, CRF 30": lambda f: (encoded(scaled(f, 0.5), 30), 8),
        "5% cropped off each side": lambda f: (cropped(f, 0.05, random), 8),
        "10% cropped off each side": lambda f: (cropped(f, 0.1, random), 8),
        "15% cropped off each side": lambda f: (cropped(f, 0.15, random), 8),
        "mirrored": lambda f: (f[:, :, ::-1], 8),
        "mirrored, CRF 30": lambda f: (encoded(f[:, :, ::-1], 30), 8),
        "first and last quarter cut off": lambda f: (f[len(f) // 4 : -(len(f) // 4)], 8),
        "slowed to three quarters": lambda f: (f, 6),
        "slowed to half": lambda f: (f, 4),
        "one frame": lambda f: (f[8:9], 1),
        "grey": lambda f: ((f @ [0.299, 0.587, 0.114])[..., None].repeat(3, -1).astype(np.uint8), 8),
        "bars of a tenth above and below": lambda f: (np.pad(f, ((0, 0), (10, 10), (0, 0), (0, 0))), 8),
        "turned by 3 degrees": lambda f: (
            np.stack([np.asarray(Image.fromarray(one).rotate(3, Image.Resampling.BICUBIC)) for one in f]),
            8,
        ),
    }


def drawn(seed: int) -> Video:
    """A soft ground with one to three objects that move in straight lines, 64 x 64, 17 frames."""
    random = np.random.default_rng(seed)
    ground = Image.fromarray(
        random.integers(90, 230, (random.integers(2, 5), random.integers(2, 5), 3)).astype(np.uint8)
    )
    picture = np.asarray(ground.resize((64, 64), Image.Resampling.BICUBIC))
    frames, (y, x) = np.repeat(picture[None], 17, 0).copy(), np.mgrid[:64, :64]
    for _ in range(random.integers(1, 4)):
        place, speed, size = random.uniform(8, 56, 2), random.uniform(-3, 3, 2), random.uniform(4, 14)
        colour, box = random.integers(0, 255, 3), random.random() < 0.5
        for index in range(17):
            down, across = (place + speed * index)[:, None, None] - (y, x)
            inside = np.maximum(abs(down), abs(across)) < size if box else np.hypot(down, across) < size
            frames[index][inside] = colour
    return Video(frames=frames, fps=8.0)


def others(count: int, rendered: int) -> Iterator[Fingerprint]:
    world, made = Studio(), 0
    try:
        for seed in range(rendered):
            yield fingerprint(world.clip(OTHERS + seed, size=(64, 64), circle=seed % 3).video, middles=True)
            made += 1
    except KeyboardInterrupt:
        pass
    print(f"{made} others are rendered, {count - made} are drawn.", flush=True)
    for seed in range(count - made):
        yield fingerprint(drawn(seed), middles=True)


def interval(good: int, of: int) -> str:
    """A share in per cent with Wilson's 95% interval."""
    low, high = wilson(good, of)
    return f"{100 * good / of:.1f} [{100 * low:.1f}, {100 * high:.1f}]"


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--copies", type=int, default=60)
    options.add_argument("--rendered", type=int, default=1000)
    options.add_argument("--others", type=int, default=5000)
    options.add_argument("--rows", type=int, default=1_000_000)
    chosen = options.parse_args()
    world, index, random = Studio(), Index(), np.random.default_rng(0)
    clips = [world.clip(COPIES + seed, size=(96, 96), circle=seed % 3).video for seed in range(chosen.copies)]
    index.add(
        Entry(name=str(seed), created=0.0, mark=None, print=fingerprint(clip, middles=True))
        for seed, clip in enumerate(clips)
    )
    index.add(
        Entry(name=f"other {seed}", created=0.0, mark=None, print=prints)
        for seed, prints in enumerate(others(chosen.others, chosen.rendered))
    )
    print("\n| copy | found, % | clips named wrongly | clips |\n|---|---:|---:|---:|")
    for name, alter in alterations(random).items():
        right = wrong = 0
        for seed, clip in enumerate(clips):
            frames, rate = alter(clip.frames)
            names = [entry.name for entry, _ in index.whose(query_of(Video(frames=frames, fps=rate)))]
            right += str(seed) in names
            wrong += len([one for one in names if one != str(seed)])
        print(f"| {name} | {interval(right, len(clips))} | {wrong} | {len(clips)} |", flush=True)
    named = 0
    for seed in range(chosen.copies):
        clip = world.clip(NEW + seed, size=(96, 96), circle=seed % 3).video
        named += bool(index.whose(query_of(clip)))
    print(f"\nOf {chosen.copies} clips that are in no index, {named} were taken for one that is.")
    print(
        "\n| frames in the index | ms a query, found | ms a query, not found (crops tried) |\n|---:|---:|---:|"
    )
    while True:
        rows = index.settle()
        times = [milliseconds(index, clip) for clip in (clips[0], drawn(10**6))]
        print(f"| {rows:,} | {times[0]:.0f} | {times[1]:.0f} |", flush=True)
        if rows >= chosen.rows:
            return
        index.add(simulated(min(9 * rows, chosen.rows - rows), random))


def milliseconds(index: Index, video: Video) -> float:
    """Processor time of a search, without reading and hashing the query."""
    query, start = query_of(video), time.process_time()
    index.whose(query)
    return 1000 * (time.process_time() - start)


def simulated(rows: int, random: np.random.Generator) -> Iterator[Entry]:
    """Clips of nine frames with random hashes."""
    for first in range(0, rows, 9):
        hashes, middles = random.integers(0, 2**64, (2, min(9, rows - first), 4), np.uint64)
        prints = Fingerprint(hashes=hashes, times=np.arange(len(hashes)) / 4, middles=middles)
        yield Entry(name="simulated", created=0.0, mark=None, print=prints)


if __name__ == "__main__":
    main()
