"""Does the model learn the law, or its examples? python bench/physics.py [--clips 16]

After "How far is video generation from world model" (Kang et al. 2024, arXiv 2411.02385): the model is given the first
three frames of a real clip of uniform motion, which show how fast an object is, and makes the rest. Its object's
velocity is read from pixels and held against that of the real clip, read in the same way, as long as the object is
whole in the picture.

in range        speeds and combinations (colour, shape, event) as in training
combination     speeds as in training, combinations that training left out
slower, faster  speeds outside of training: staged at 0.6 and at 1.5 times the pace

A velocity is the slope of the line through a path. The error is the distance between the two, as a share of the true
speed. `floor`: the parser's own error, its reading of the real clip against the simulator's state. Writes a plot (SVG)
of true against made speed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import sorairo
from sorairo.evaluation.metrics import mean_estimate
from sorairo.evaluation.parse import Parsed, load_parser
from sorairo.generation.generate import generate
from sorairo.tasks.ask import Ask
from sorairo.types import Known, Video
from sorairo.worlds import get_world

GIVEN = 3
FIRST_SEED = 70_000_000
INSIDE = 1.0  # object sizes from the picture's edge: nearer, an object may be cut
KINDS: dict[str, dict[str, Any]] = {
    "in range": {"split": "train"},
    "combination": {"split": "heldout"},
    "slower": {"split": "train", "pace": 0.6},
    "faster": {"split": "train", "pace": 1.5},
}
COLOURS = {"in range": "#2563eb", "combination": "#059669", "slower": "#d97706", "faster": "#dc2626"}


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One clip: true and made speed (along the true one), object sizes a frame; error and floor, shares of the true
    speed. made, error: NaN where no single object is seen throughout."""

    true: float
    made: float
    error: float
    floor: float


def path_of(parsed: Parsed) -> np.ndarray | None:
    """The path (t 2) in pixels of the one object there is."""
    return parsed.objects[0].path if len(parsed.objects) == 1 else None


def measure(clip: Any, made: Video, parser: Callable[[Video], Parsed]) -> Measured | None:
    """None where the real clip cannot be read or leaves too early."""
    real = parser(clip.video)
    truth, width = path_of(real), clip.video.size[0]
    if truth is None:
        return None
    size = real.objects[0].size
    state = clip.state["centre"][:, 0]  # t 2
    whole = (state[:, 0] > INSIDE * size) & (state[:, 0] < width - INSIDE * size)
    last = int(np.argmin(whole)) if not whole.all() else len(whole)
    there = slice(GIVEN - 1, last)
    if last < GIVEN + 4 or np.isnan(truth[there]).any():
        return None
    speed, exact = slope(truth[there]) / size, slope(state[there]) / size
    true = float(np.linalg.norm(exact))
    floor = float(np.linalg.norm(speed - exact)) / true
    seen = path_of(parser(made))
    if seen is None or np.isnan(seen[there]).any():
        return Measured(true=true, made=float("nan"), error=float("nan"), floor=floor)
    ours = slope(seen[there]) / size
    return Measured(
        true=true,
        made=float(ours @ exact) / true,
        error=float(np.linalg.norm(ours - speed)) / true,
        floor=floor,
    )


def slope(path: np.ndarray) -> np.ndarray:
    """The velocity (2,) of a path (t 2) of constant speed: least squares, so that single pixels matter less."""
    return np.polyfit(np.arange(len(path)), path, 1)[0]


def plot(rows: dict[str, list[Measured]], path: Path) -> None:
    """True speed across, made speed up; the line is where both are the same."""
    points = [one for found in rows.values() for one in found if one.made == one.made]
    top = 1.15 * max([0.1, *(max(one.true, one.made) for one in points)])
    low = min(0.0, *(one.made for one in points)) if points else 0.0
    side, left = 320, 60

    def at(true: float, made: float) -> tuple[float, float]:
        return left + side * true / top, 20 + side * (top - made) / (top - low)

    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + side + 150}" height="{side + 70}" ']
    parts.append('font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>')
    (x0, y0), (x1, y1) = at(0, 0), at(top, top)
    parts.append(f'<path d="M{x0} {y0}L{x1} {y1}" stroke="#9ca3af" stroke-dasharray="4 4"/>')
    parts.append(f'<path d="M{left} 20V{20 + side}H{left + side}" stroke="#374151" fill="none"/>')
    for tick in np.arange(0, top, 0.2 if top < 2 else 0.5):
        x, y = at(float(tick), float(tick))
        parts.append(f'<text x="{x}" y="{36 + side}" text-anchor="middle">{tick:.1f}</text>')
        parts.append(f'<text x="{left - 8}" y="{y + 4}" text-anchor="end">{tick:.1f}</text>')
    middle = left + side / 2
    parts.append(
        f'<text x="{middle}" y="{58 + side}" text-anchor="middle">true speed, object sizes a frame</text>'
    )
    parts.append(
        f'<text transform="translate(18 {20 + side / 2}) rotate(-90)" text-anchor="middle">made speed</text>'
    )
    for index, (kind, found) in enumerate(rows.items()):
        for one in found:
            if one.made == one.made:
                x, y = at(one.true, one.made)
                parts.append(
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{COLOURS[kind]}" opacity="0.75"/>'
                )
        y = 40 + 20 * index
        parts.append(f'<circle cx="{left + side + 20}" cy="{y - 4}" r="4" fill="{COLOURS[kind]}"/>')
        parts.append(f'<text x="{left + side + 32}" y="{y}">{kind}</text>')
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(parts) + "</svg>\n")


def main(model: str, clips: int, side: int, out: Path, drawing: Path) -> None:
    torch.set_num_threads(1)
    loaded, parser, world = sorairo.load(model), load_parser(), get_world("studio")
    rows: dict[str, list[Measured]] = {}
    print("| | clips | speeds | error, % | floor, % | no single object |\n|---|---:|---:|---:|---:|---:|")
    for kind, facts in KINDS.items():
        found: list[Measured] = []
        seed = FIRST_SEED
        while len(found) < clips:
            clip = world.clip(seed, size=(side, side), events=("roll",), **facts)
            known = Known(video=Video(frames=clip.video.frames[:GIVEN], fps=clip.video.fps))
            plan = Ask(seed=seed, size=(side, side)).plan(
                loaded.abilities, clip.captions.short, len(clip.video), (known,)
            )
            seed += 1
            one = measure(clip, generate(plan, loaded)[0].video, parser)
            if one is not None:
                found.append(one)
        rows[kind] = found
        error = mean_estimate(np.array([one.error for one in found]))
        floor = mean_estimate(np.array([one.floor for one in found]))
        lost = sum(one.made != one.made for one in found)
        speeds = f"{min(one.true for one in found):.2f} to {max(one.true for one in found):.2f}"
        shown = f"{100 * error.value:.0f} [{100 * error.low:.0f}, {100 * error.high:.0f}]" if error else "-"
        print(
            f"| {kind} | {len(found)} | {speeds} | {shown} | {100 * (floor.value if floor else 0):.1f} | {lost} |",
            flush=True,
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps({kind: [vars(one) for one in found] for kind, found in rows.items()}, indent=1))
    plot(rows, drawing)


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--model", default="single")
    ask.add_argument("--clips", type=int, default=16)
    ask.add_argument("--side", type=int, default=64)
    ask.add_argument("--out", type=Path, default=Path("runs/physics.json"))
    ask.add_argument("--drawing", type=Path, default=Path("runs/physics.svg"))
    main(**vars(ask.parse_args()))
