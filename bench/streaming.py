"""Blocks streamed from their file beside blocks in memory: time of a step, peak memory, and whether they agree.

    python bench/streaming.py [--layers 12] [--width 768] [--tokens 512]

Random weights, saved in bf16. Each line is a process of its own. MiB: the highest resident size over that after the
imports. `converted` computes in float32. The file is in the system's cache, so no disk is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from sorairo.checkpoints.headers import read_header
from sorairo.checkpoints.memory.streaming import load_streamed
from sorairo.checkpoints.tensors import load_weights
from sorairo.transformer.model import Transformer, TransformerConfig

RUNS = [(how, dtype) for dtype in ("bfloat16", "float32") for how in ("resident", "streamed")]


def config_of(args: argparse.Namespace) -> TransformerConfig:
    return TransformerConfig(layers=args.layers, heads=args.width // 64, hidden=4 * args.width)


def status(key: str) -> float:
    """MiB, of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(key))


@torch.inference_mode()
def child(args: argparse.Namespace) -> None:
    how, name = args.child.split("-")
    dtype = getattr(torch, name)
    entries = read_header(args.file)
    with torch.device("meta"):
        model = Transformer(config_of(args))
    before = status("VmRSS")
    if how == "streamed":
        load_streamed(model, entries, dtype=dtype)
    else:
        load_weights(model, entries, dtype=dtype)
        model.to(dtype).eval()
    generator = torch.Generator().manual_seed(0)
    latents = torch.randn(1, 48, 2, 32, args.tokens // 16, generator=generator).to(dtype)
    text = torch.randn(1, 20, 384, generator=generator).to(dtype)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        out = model(latents, torch.tensor([500.0]), text)
        seconds.append(time.perf_counter() - start)
    torch.save(out, args.file.parent / f"{args.child}.pt")
    print(json.dumps({"seconds": min(seconds[1:]), "MiB": status("VmHWM") - before}))


def report(args: argparse.Namespace) -> None:
    from safetensors.torch import save_file

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        torch.manual_seed(0)
        model = Transformer(config_of(args)).to(torch.bfloat16)
        model.init_weights()
        save_file({name: (0.02 * torch.randn_like(t)) for name, t in model.state_dict().items()}, file)
        size = file.stat().st_size / 2**20
        print(f"{args.layers} blocks of width {args.width}, {size:.0f} MiB in bf16, {args.tokens} tokens")
        print(f"{'':22}{'s a step':>10}{'MiB':>8}{'largest difference':>20}")
        for how, dtype in RUNS:
            command = [sys.executable, __file__, "--child", f"{how}-{dtype}", "--file", str(file)]
            for option in ("layers", "width", "tokens"):
                command += [f"--{option}", str(getattr(args, option))]
            env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "1000000"}  # freed memory counts as free at once
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env)
            marks = json.loads(done.stdout)
            made, truth = (torch.load(file.parent / f"{h}-{dtype}.pt") for h in (how, "resident"))
            off = (made - truth).abs().max().item()
            name = how + (", converted" if dtype == "float32" else "")
            print(f"{name:22}{marks['seconds']:10.3f}{marks['MiB']:8.0f}{off:20.1e}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    parsed = parser.parse_args()
    child(parsed) if parsed.child else report(parsed)
