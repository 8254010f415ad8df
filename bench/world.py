"""How fast the studio world makes clips: frames a second by size, and where the time of one process goes.

    PYTHONPATH=src python bench/world.py                 # circle 1, 48 clips a row
    PYTHONPATH=src python bench/world.py --circle 3 --workers 2

Seconds are wall-clock; "of one core" counts processor time only, so it does not suffer from what else runs.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from sorairo.worlds import get_world, render_clips, studio

SIZES = ((64, 64), (96, 96), (128, 96), (128, 128), (256, 256))
STAGES = ("simulate", "film", "describe", "caption")


def main(circle: int, clips: int, workers: int) -> None:
    world, spent = get_world("studio"), Counter()
    for seed in range(10_000, 10_030):  # the shaders of all shapes
        world.clip(seed, size=(32, 32), circle=circle)
    for name in STAGES:
        setattr(studio, name, timed(name, getattr(studio, name), spent))
    drawer = studio.renderer()
    drawer.draw = timed("draw", drawer.draw, spent)
    print(f"circle {circle}, 17 frames, one process; milliseconds of processor time a clip")
    print(f"{'size':>9} {'frames/s of one core':>21} " + " ".join(f"{name:>9}" for name in (*STAGES, "draw")))
    for size in SIZES:
        spent.clear()
        began = time.process_time()
        for seed in range(clips):
            world.clip(seed, size=size, circle=circle)
        rate = clips * 17 / (time.process_time() - began)
        stages = " ".join(f"{1000 * spent[name] / clips:9.1f}" for name in (*STAGES, "draw"))
        print(f"{size[0]:>4}x{size[1]:<4} {rate:>21.0f} {stages}")
    if workers:
        stream = render_clips(world, range(clips * 4), workers=workers, circle=circle)
        next(stream)
        began = time.perf_counter()
        made = sum(len(clip.video) for clip in stream)
        print(
            f"96x96, {workers} processes: {made / (time.perf_counter() - began):.0f} frames/s of wall-clock"
        )


def timed(name: str, call: Callable[..., Any], spent: Counter[str]) -> Callable[..., Any]:
    def run(*args: Any, **facts: Any) -> Any:
        began = time.process_time()
        try:
            return call(*args, **facts)
        finally:
            spent[name] += time.process_time() - began

    return run


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--circle", type=int, default=1)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--workers", type=int, default=0)
    main(**vars(parser.parse_args()))
