"""Sora's scaling figure: the same prompts and seeds at 1, 4 and 32 times the compute: python bench/scaling.py all

One run holds its learning rate; at 1, 4 and 32 units of compute a copy of it is decayed to an end (the last fifth of
each), so that all three share what they can. A unit is `--unit` steps of the small model (bench/_small.py), or with
`--preset default` of the default transformer. Written: scaling.png (three rows of the same prompts and seeds),
scaling.svg (error of the velocity on held-out clips against compute) and the fitted law. Ended runs go on by the same
command. Source of the figure: OpenAI, "Video generation models as world simulators", 2024.

    python bench/scaling.py train|draw --run DIR [--unit STEPS] [--preset small|default]

The whole figure, about ten hours of one core: python bench/scaling.py all --preset default --unit 600 --tokens 2592
"""

from __future__ import annotations

import argparse
import json
import logging
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _plot import Series, plot
from _small import CONFIG, SMALL, errors, make_data, mean_of, objective_of, text_encoder
from safetensors.torch import load_file

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.data.loader import LoaderConfig
from sorairo.training.decay import begin_decay, decay
from sorairo.training.loop import train
from sorairo.training.metrics import read_metrics
from sorairo.training.objectives.diffusion import Diffusion
from sorairo.training.objectives.sheets import SheetConfig, decoded, sheet_latents
from sorairo.transformer.model import Transformer, TransformerConfig, forward_flops
from sorairo.transformer.presets import PRESETS
from sorairo.video import contact_sheet

TIMES = (1, 4, 32)
TAIL = 0.2  # of each end is its decay
PROMPTS = (
    "a red ball dropping",
    "a blue cube sliding to a stop",
    "a green ball rolling",
    "a yellow cylinder dropping",
)


def shape_of(preset: str) -> TransformerConfig:
    return SMALL if preset == "small" else PRESETS[preset]


def objective(data: Path, run: Path, preset: str, tokens: int) -> Diffusion:
    """The held run's; its samples are the error on held-out clips."""
    made = objective_of(
        data / "train",
        run,
        LoaderConfig(tokens=tokens, stills=0.1, captions=(0.4, 0.2, 0.2, 0.2), refresh=100, packed=True),
        config=shape_of(preset),
    )
    held = sorted((data / "held").glob("*.safetensors"))
    made._sampler = lambda model, folder, step: {"error": mean_of(errors(model, held, most=12)).mean}
    return made


def run_all(data: Path, run: Path, unit: int, preset: str, tokens: int) -> bool:
    """Whether all three ends are there; False where a signal ended the call."""
    config = replace(CONFIG, sample_every=unit, checkpoint_minutes=2)
    for times in TIMES:
        to = run / f"x{times}"
        if (to / "export").exists():
            continue
        tail = max(1, round(TAIL * unit * times))
        if not (to / "decay.json").exists():
            held = replace(config, steps=unit * times - tail)
            if train(objective(data, run / "held", preset, tokens), held, run / "held").reason == "stopped":
                return False
        first = begin_decay(run / "held", to)
        end = decay(objective(data, to, preset, tokens), config, to, first=first, steps=tail)
        if end.reason == "stopped":
            return False
    return True


def tflop(preset: str, tokens: int, steps: float) -> float:
    """Of so many steps: forward and backward passes of clips of 17 frames of 64 pixels."""
    one = 9 * 4 * 4
    return 3e-12 * steps * tokens / one * forward_flops(shape_of(preset), tokens=one, words=24, times=9)


def law(points: list[tuple[float, float]]) -> tuple[float, float]:
    """error = a * compute ** -b, by least squares of the logarithms."""
    x, y = np.log([c for c, _ in points]), np.log([e for _, e in points])
    slope, offset = np.polyfit(x, y, 1)
    return math.exp(offset), -float(slope)


def draw(data: Path, run: Path, unit: int, preset: str, tokens: int) -> None:
    torch.set_num_threads(1)
    held, shape = sorted((data / "held").glob("*.safetensors")), shape_of(preset)
    text, codec = text_encoder(), load_checkpoint("default", "fp32").codec
    ends, videos, labels = [], [], []
    for times in TIMES:
        if not (run / f"x{times}" / "export").exists():
            continue
        model = Transformer(shape)
        model.load_state_dict(load_file(run / f"x{times}" / "export" / "transformer.safetensors"))
        found = mean_of(errors(model, held))
        ends.append((tflop(preset, tokens, unit * times), found.mean))
        print(f"| {times} | {unit * times} | {ends[-1][0]:.1f} | {found} |", flush=True)
        latents = sheet_latents(
            model,
            codec,
            text.encode(list(PROMPTS)),
            text.encode([""]),
            SheetConfig(size=(64, 64), guidance=3.0, shift=3.0),
        )
        videos += [decoded(codec, one, 8.0) for one in latents]
        labels += [f"{times} x compute: {prompt}" for prompt in PROMPTS]
    lines = read_metrics(run / "held" / "metrics.jsonl")
    going = [
        (tflop(preset, tokens, one["step"] + 1), one["score/error"]) for one in lines if "score/error" in one
    ]
    series = [
        Series(name="held rate", points=going),
        Series(name="decayed", points=ends, dots=True),
    ]
    if len(ends) > 1:
        a, b = law(ends)
        series.append(Series(name=f"{a:.3g} C^-{b:.3f}", points=[(c, a * c**-b) for c, _ in ends]))
        print(f"error = {a:.4g} * (TFLOP) ^ -{b:.4f}, of {len(ends)} ends")
    plot(run / "scaling.svg", series, across="training compute, TFLOP", up="error of the velocity", log=True)
    contact_sheet(videos, labels, run / "scaling.png", columns=len(PROMPTS), frames_per=3)
    (run / "scaling.json").write_text(json.dumps({"ends": ends, "held": going}, indent=1) + "\n")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("what", choices=["train", "draw", "all"])
    ask.add_argument("--data", type=Path, default=Path("runs/native"))
    ask.add_argument("--run", type=Path, default=Path("runs/scaling"))
    ask.add_argument("--unit", type=int, default=40)
    ask.add_argument("--tokens", type=int, default=1728)
    ask.add_argument("--preset", default="small", choices=["small", *PRESETS])
    given = ask.parse_args()
    same = (given.data, given.run, given.unit, given.preset, given.tokens)
    whole = True
    if given.what in ("train", "all"):
        if not (given.data / "train").is_dir():  # or any folder with train/ and held/ of shards
            make_data(given.data)
        whole = run_all(*same)
    if given.what in ("draw", "all") and whole:
        draw(*same)
