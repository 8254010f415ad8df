"""--upscale 2 beside bicubic, on held-out clips of the studio: PSNR in dB over RGB levels, and the time it takes.

    python bench/upscale.py [--clips 8] [--size 192x192] [--weights FILE] [--sheet upscale.png]

Clips are rendered at --size, which is the truth, and halved, each pixel the mean of four. `halved` doubles these,
`decoded` what the default model's codec makes of them. Bicubic is Pillow's. PSNR is of a clip, then the mean;
`won` is the share of clips on which the network is nearer. The sheet shows bicubic, the network and the truth of
decoded clips, enlarged by repeating pixels.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
from PIL import Image

from sorairo.codec.through import through
from sorairo.evaluation.evaluate import psnr
from sorairo.evaluation.suites import Suite
from sorairo.jobs.request import parsed_size
from sorairo.upscale.apply import by_bicubic, enlarged, halved_video, load_upscaler

SUITE = 77  # of held-out clips, which nothing else is measured or trained on


def around(frames: list[np.ndarray], side: int = 64) -> list[np.ndarray]:
    """The square of h w 3 frames where the last two differ most."""
    off = np.abs(frames[0].astype(float) - frames[-1]).sum(axis=-1)
    h, w = off.shape
    places = [(top, left) for top in range(0, h - side + 1, 8) for left in range(0, w - side + 1, 8)]
    top, left = max(places, key=lambda p: off[p[0] : p[0] + side, p[1] : p[1] + side].sum())
    return [frame[top : top + side, left : left + side] for frame in frames]


def main() -> None:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--clips", type=int, default=8, help="of each circle")
    options.add_argument("--size", default="192x192", help="of the large frames")
    options.add_argument("--weights", type=Path, help="in place of the package's")
    options.add_argument("--sheet", type=Path)
    chosen = options.parse_args()
    from sorairo.checkpoints.folder import compute_dtype, find_folder, load_codec

    network = load_upscaler(chosen.weights)
    codec = load_codec(find_folder("default") / "vae", compute_dtype("auto"))
    size = parsed_size(chosen.size) or (192, 192)
    seconds, frames, rows, everything = 0.0, 0, [], {}
    print("| circle | input | bicubic, dB | network, dB | gain, dB | won |\n|---|---|---:|---:|---:|---:|")
    for circle in range(4):
        numbers: dict[str, list[tuple[float, float]]] = {"halved": [], "decoded": []}
        for index, clip in enumerate(Suite(circle=circle, count=chosen.clips, size=size, seed=SUITE).clips()):
            small = halved_video(clip.video)
            for kind, video in (("halved", small), ("decoded", through(codec, small))):
                start = time.process_time()
                made = enlarged(video, network)
                seconds, frames = seconds + time.process_time() - start, frames + len(made)
                plain = by_bicubic(video)
                numbers[kind].append((psnr(plain, clip.video), psnr(made, clip.video)))
                if kind == "decoded" and index == 0:
                    middle = len(made) // 2
                    shown = [video.frames[middle] for video in (plain, made, clip.video)]
                    rows.append(np.concatenate(around(shown), axis=1))
        for kind, pairs in numbers.items():
            print(row(str(circle), kind, pairs), flush=True)
            everything.setdefault(kind, []).extend(pairs)
    for kind, pairs in everything.items():
        print(row("all", kind, pairs))
    weights = sum(p.numel() for p in network.parameters())
    print(f"\n{weights} weights; {1000 * seconds / frames:.1f} processor ms a frame of {size[0]}x{size[1]}")
    if chosen.sheet:
        page = np.concatenate([np.concatenate(rows[half : half + 2], axis=1) for half in (0, 2)], axis=0)
        Image.fromarray(page.repeat(2, axis=0).repeat(2, axis=1)).save(chosen.sheet)


def row(circle: str, kind: str, pairs: list[tuple[float, float]]) -> str:
    """A line of the table. pairs: (bicubic, network) of every clip."""
    plain, made = np.array(pairs).T
    gain, won = (made - plain).mean(), (made > plain).mean()
    return f"| {circle} | {kind} | {plain.mean():.2f} | {made.mean():.2f} | {gain:+.2f} | {won:.0%} |"


if __name__ == "__main__":
    main()
