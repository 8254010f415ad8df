"""The codec beside diffusers' AutoencoderKLWan with the same weights, in one run.

    python bench/codec.py [--model FOLDER/vae] [--size 96x96] [--frames 17] [--rounds 3] [--threads N]
    python bench/codec.py --preset wan2.1 --size 96x64 --frames 9

Encoding and decoding, whole and streamed, in float32, bf16 and int8 (decoding alone; theirs in float32); random weights
of a preset's shape (the default's) unless --model names a codec. A B A B, the fastest of the rounds counts; `cpu` is
processor seconds, which a busy machine does not stretch; the ratio is diffusers' cpu over ours. `memory` is what one
call adds to the process's peak, each measured in a process of its own. PSNR is against diffusers in float32 (in its own
dtype with --dtype bfloat16). TFLOP/s are ours a processor second, beside those of a plain product.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
from collections.abc import Callable
from pathlib import Path

import torch
from _peak import added
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from sorairo.checkpoints.adapters.wan_codec import (
    config_from_wan,
    config_to_wan,
    state_from_wan,
    state_to_wan,
)
from sorairo.codec.model import Codec
from sorairo.codec.presets import PRESETS
from sorairo.codec.streaming import decode_stream
from sorairo.nn.int8_conv import convolutions_to_int8

Call = Callable[[], Tensor]
KINDS = ("encode", "decode", "stream")
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "int8": torch.int8}


def codec(which: Path | str) -> Codec:
    """The one in the folder, or one of a preset's shape with random weights."""
    torch.manual_seed(0)
    if isinstance(which, str):
        made = Codec(PRESETS[which])
        made.init_weights()
        for name, parameter in made.named_parameters():
            if name.endswith("conv2.weight"):
                torch.nn.init.normal_(parameter, std=0.02)
        return made
    from safetensors.torch import load_file

    config = config_from_wan(json.loads((which / "config.json").read_text()))
    made = Codec(config)
    theirs = load_file(which / "diffusion_pytorch_model.safetensors")
    made.load_state_dict(state_from_wan(theirs, config, list(made.state_dict())))
    return made.float()


def calls(which: Path | str, size: tuple[int, int], frames: int, dtype: torch.dtype) -> dict[str, Call]:
    """Every way, by "who kind"."""
    from diffusers import AutoencoderKLWan

    ours = codec(which)
    values = {k: v for k, v in config_to_wan(ours.config).items() if not k.startswith("_")}
    theirs = AutoencoderKLWan(**values)
    theirs.load_state_dict(state_to_wan(ours.state_dict(), ours.config))
    int8, dtype = dtype == torch.int8, torch.float32 if dtype == torch.int8 else dtype
    theirs, ours = theirs.to(dtype).eval(), ours.to(dtype).eval()
    if int8:
        convolutions_to_int8(ours.decoder, but=("conv_in", "conv_out"))
    space, step = ours.config.space_factor, ours.config.time_factor
    video = (torch.rand(1, 3, frames, size[1], size[0]) * 2 - 1).to(dtype)
    grid = (1 + (frames - 1) // step, size[1] // space, size[0] // space)
    latents = torch.randn(1, ours.config.z_dim, *grid).to(dtype)
    normal = (latents - ours.latents_mean.to(dtype)) / ours.latents_std.to(
        dtype
    )  # as decode_stream takes them
    return {
        "ours encode": lambda: ours.moments(video)[0],
        "theirs encode": lambda: theirs.encode(video).latent_dist.mode(),
        "ours decode": lambda: ours.pixels(latents).clamp(-1, 1),
        "theirs decode": lambda: theirs.decode(latents).sample,
        "ours stream": lambda: torch.cat(list(decode_stream(ours, normal)), 2),
        "theirs stream": lambda: theirs.decode(latents).sample,  # diffusers always decodes frame by frame
    }


@torch.inference_mode()
def timed(call: Call) -> tuple[float, float, Tensor]:
    """(seconds, processor seconds, the result)"""
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def memory(which: Path | str, size: tuple[int, int], frames: int, dtype: torch.dtype, name: str) -> float:
    """MiB that one call adds to the peak, in this process."""
    call = calls(which, size, frames, dtype)[name]
    return added(lambda: timed(call))


def psnr(x: Tensor, reference: Tensor) -> float:
    """Decibels; the peak is the reference's range."""
    error = (x.float() - reference.float()).square().mean().clamp(min=1e-20)
    return float(20 * torch.log10((reference.max() - reference.min()).float()) - 10 * torch.log10(error))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument("--size", default="96x96")
    parser.add_argument("--frames", type=int, default=17)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--dtype", choices=tuple(DTYPES), nargs="+", help="these alone")
    parser.add_argument("--kinds", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--no-memory", action="store_true")
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    # What is freed goes back at once in the processes that measure memory (glibc; read when they start)
    os.environ |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "0"}
    width, height = (int(n) for n in arguments.size.split("x"))
    where = (arguments.model or arguments.preset, (width, height), arguments.frames)
    torch.manual_seed(1)
    reference: dict[str, Tensor] = {}
    heads = ("ours s", "theirs s", "ours cpu", "ratio", "PSNR dB", "TFLOP/s", "ours MiB", "theirs")
    print(" " * 16 + "".join(f"{head:>9}" for head in heads))
    for dtype in DTYPES.values():
        if str(dtype)[6:] not in (arguments.dtype or DTYPES):
            continue
        torch.manual_seed(1)
        ways = calls(*where, dtype)
        for kind in arguments.kinds:
            if (dtype, kind) == (torch.int8, "encode"):
                continue
            best = {who: (9e9, 9e9) for who in ("ours", "theirs")}
            result: dict[str, Tensor] = {}
            for _ in range(arguments.rounds):
                for who in best:
                    wall, cpu, result[who] = timed(ways[f"{who} {kind}"])
                    best[who] = (min(best[who][0], wall), min(best[who][1], cpu))
            reference.setdefault(kind, result["theirs"])
            ratio = best["theirs"][1] / best["ours"][1]
            seconds = (best["ours"][0], best["theirs"][0], best["ours"][1], ratio)
            row = f"{kind} {str(dtype)[6:]}".ljust(16) + "".join(f"{value:9.3f}" for value in seconds)
            row += f"{psnr(result['ours'], reference[kind]):9.1f}"
            with FlopCounterMode(display=False) as counter, torch.inference_mode():
                ways[f"ours {kind}"]()
            row += f"{counter.get_total_flops() / best['ours'][1] / 1e12:9.3f}"
            if not arguments.no_memory:
                spawn = multiprocessing.get_context("spawn")
                for who in best:
                    with spawn.Pool(1) as pool:
                        row += f"{pool.apply(memory, (*where, dtype, f'{who} {kind}')):9.0f}"
            print(row, flush=True)
        if dtype == torch.int8:
            continue
        a, b = (torch.randn(shape).to(dtype) for shape in ((4096, 1024), (1024, 1024)))
        least = min(timed(lambda a=a, b=b: a @ b)[1] for _ in range(5))
        print("plain product".ljust(16) + " " * 45 + f"{2 * 4096 * 1024**2 / least / 1e12:9.3f}", flush=True)


if __name__ == "__main__":
    main()
