"""Teach the default model a new look from 20 clips, and see what it costs: python bench/finetune.py --run runs/look

The commands are those of docs/finetune.md: data build, train finetune, generate --lora. Scored before and after: how
much of each clip is drawn in the new look when the words ask for it, and what the parser reads of ordinary prompts
(what was forgotten). `--ordinary 20` puts as many clips as they are into the folder beside those in the look, so that
ordinary words keep their meaning. Writes a sheet, before above after, and a table. The same command goes on where it
ended.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch

import sorairo
from sorairo.checkpoints.lora import apply_loras
from sorairo.evaluation.evaluate import evaluate
from sorairo.evaluation.parse import load_parser
from sorairo.evaluation.suites import Prompt, Suite
from sorairo.types import Video
from sorairo.video import contact_sheet, read_video, write_video
from sorairo.worlds import get_world, render_clips

WORDS = "Drawn as a blueprint."
PAPER, INK = np.array([24.0, 66.0, 140.0]), np.array([235.0, 243.0, 252.0])
FIRST_SEED = 810_000
PROMPTS = (
    "A red ball rolls across the floor to the right.",
    "A blue cube slides to a stop.",
    "A green ball drops and bounces.",
    "A yellow cylinder drops onto the floor.",
)


def blueprint(frames: np.ndarray) -> np.ndarray:
    """uint8 (t h w 3) -> the same as white lines on blue paper."""
    grey = frames.astype(np.float32).mean(-1)
    across = np.abs(np.diff(grey, axis=2, append=grey[:, :, -1:]))
    down = np.abs(np.diff(grey, axis=1, append=grey[:, -1:]))
    line = np.clip((across + down) / 40, 0, 1)[..., None]
    shade = 0.25 * (grey[..., None] / 255 - 0.5)
    return np.clip(PAPER * (1 + shade) * (1 - line) + INK * line, 0, 255).astype(np.uint8)


def in_the_look(video: Video) -> float:
    """The share of pixels, 0 to 1, on the line of colours from paper to ink."""
    pixels = video.frames[1:].reshape(-1, 3).astype(np.float32)
    along = INK - PAPER
    place = np.clip((pixels - PAPER) @ along / (along @ along), 0, 1)
    return float((np.linalg.norm(pixels - PAPER - place[:, None] * along, axis=-1) < 45).mean())


def make_clips(folder: Path, count: int, ordinary: int) -> None:
    """A folder as a person would have it: clips with words beside them, the last of them ordinary ones."""
    folder.mkdir(parents=True, exist_ok=True)
    world = get_world("studio")
    seeds = range(FIRST_SEED, FIRST_SEED + count + ordinary)
    missing = [seed for seed in seeds if not (folder / f"clip-{seed}.txt").is_file()]
    for clip in render_clips(world, missing, size=(64, 64), fps=8.0):
        stem, new = folder / f"clip-{clip.seed}", clip.seed < FIRST_SEED + count
        frames = blueprint(clip.video.frames) if new else clip.video.frames
        write_video(Video(frames=frames, fps=8.0), stem.with_suffix(".mp4"))
        said = [clip.captions.long, f"{clip.captions.short.rstrip('.')}."]
        lines = [f"{line} {WORDS}" if new else line for line in said]
        stem.with_suffix(".txt").write_text("\n".join(lines) + "\n")


def command(*words: str) -> float:
    """Run sorairo; its seconds."""
    began = time.monotonic()
    print("$ sorairo", *words, flush=True)
    subprocess.run([sys.executable, "-m", "sorairo", *words], check=True)
    return time.monotonic() - began


def scores(lora: Path | None, prompts: int) -> tuple[dict[str, float], list[Video]]:
    """What the model makes of the new words and of the old."""
    model = sorairo.load("single")
    if lora is not None:
        model = apply_loras(model, [str(lora)])
    new = [
        model.generate(f"{p} {WORDS}", size=(64, 64), frames=17, seed=s).video for s, p in enumerate(PROMPTS)
    ]

    def clips(asked: Sequence[Prompt]) -> Iterable[Video]:
        for p in asked:
            yield model.generate(p.text, size=p.size, frames=p.frames, seed=p.seed).video

    made = evaluate(
        Suite(circle=0, count=prompts, size=(64, 64), seed=33), load_parser(), model_fn=clips, distances=False
    )
    old = {
        name: 100 * made.scores[name]["model"].value
        for name in ("objects", "count", "colours", "shapes", "event")
    }
    return {"in the look, %": 100 * float(np.mean([in_the_look(video) for video in new])), **old}, new


def kept(path: Path, lora: Path | None, prompts: int) -> tuple[dict[str, float], list[Video]]:
    """scores(), read again where an earlier call has written them."""
    if not (path / "scores.json").is_file():
        found, videos = scores(lora, prompts)
        path.mkdir(parents=True, exist_ok=True)
        for index, video in enumerate(videos):
            write_video(video, path / f"{index}.mp4")
        (path / "scores.json").write_text(json.dumps(found))
    found = json.loads((path / "scores.json").read_text())
    return found, [read_video(path / f"{index}.mp4") for index in range(len(PROMPTS))]


def main(run: Path, count: int, ordinary: int, steps: int, rank: int, prompts: int) -> None:
    make_clips(run / "clips", count, ordinary)
    spent = command(
        "data", "build", str(run / "clips"), str(run / "data"), "--size", "64x64", "--frames", "17"
    )
    words = ["train", "finetune", "--data", str(run / "data"), "--run", str(run / "run"), "--rank", str(rank)]
    spent += command(
        *words, "--tokens", "1296", "--steps", str(steps), "--sample-every", str(max(1, steps // 3))
    )
    torch.set_num_threads(1)
    before, first = kept(run / "before", None, prompts)
    after, then = kept(run / "after", run / "run" / "export" / "lora.safetensors", prompts)
    contact_sheet(
        [*first, *then],
        [f"{name}: {p}" for name in ("before", "after") for p in PROMPTS],
        run / "sheet.png",
        columns=2,
        frames_per=5,
    )
    (run / "scores.json").write_text(
        json.dumps({"before": before, "after": after, "seconds": spent}, indent=1)
    )
    print(
        f"{count} clips and {ordinary} ordinary ones, {steps} steps, rank {rank}: {spent:.0f} s to build and train"
    )
    print("| | before | after |\n|---|---:|---:|")
    for name, value in before.items():
        print(f"| {name} | {value:.0f} | {after[name]:.0f} |")


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--run", type=Path, default=Path("runs/look"))
    ask.add_argument("--count", type=int, default=20)
    ask.add_argument("--ordinary", type=int, default=0)
    ask.add_argument("--steps", type=int, default=150)
    ask.add_argument("--rank", type=int, default=16)
    ask.add_argument("--prompts", type=int, default=48)
    main(**vars(ask.parse_args()))
