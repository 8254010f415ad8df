"""DiT-XL/2 and its autoencoder beside diffusers' classes, with the same random weights, in one run.

    python bench/dit.py [--layers 4] [--side 256] [--rounds 3] [--threads N]

One guided step's forward pass (2 x 256 tokens, `layers` of the 28) and one decode to side x side, in float32 and bf16.
A B A B, the fastest of the rounds counts; `cpu` is processor seconds, which a busy machine does not stretch. PSNR is
against diffusers in float32. The ratio is diffusers' time over ours.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import torch

from sorairo.dit import codec as kl_image
from sorairo.dit import model as dit
from sorairo.dit.codec import KLImage
from sorairo.dit.codec_names import from_kl_image, to_kl_image_config
from sorairo.dit.model import DiT
from sorairo.dit.names import from_dit, to_dit, to_dit_config

Call = Callable[[], torch.Tensor]


def transformers(layers: int, dtype: torch.dtype) -> tuple[Call, Call]:
    """(ours, theirs): one guided step at 256 x 256."""
    from diffusers import DiTTransformer2DModel

    config = replace(dit.PRESETS["xl-2-256"], layers=layers)
    torch.manual_seed(0)
    ours = DiT(config)
    theirs = DiTTransformer2DModel.from_config(to_dit_config(config))
    theirs.load_state_dict(to_dit(ours.state_dict(), config))
    ours.load_state_dict(from_dit(theirs.state_dict()))
    ours, theirs = ours.to(dtype).eval(), theirs.to(dtype).eval()
    latents = torch.randn(1, 4, 32, 32).to(dtype).expand(2, -1, -1, -1).contiguous()
    timestep, label = torch.tensor([500, 500]), torch.tensor([207, 1000])
    return lambda: ours(latents, timestep, label), lambda: theirs(latents, timestep, label).sample


def codecs(side: int, dtype: torch.dtype) -> tuple[Call, Call]:
    """(ours, theirs): one decode to side x side pixels."""
    from diffusers import AutoencoderKL

    config = kl_image.PRESETS["sd"]
    torch.manual_seed(0)
    theirs = AutoencoderKL.from_config(to_kl_image_config(config))
    ours = KLImage(config)
    ours.load_state_dict(from_kl_image(theirs.state_dict()))
    ours = ours.to(dtype).eval().to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    theirs = theirs.to(dtype).eval()
    latents = torch.randn(1, 4, side // 8, side // 8).to(dtype)
    return lambda: ours.decode(latents * config.scaling), lambda: theirs.decode(latents).sample


def timed(call: Call) -> tuple[float, float, torch.Tensor]:
    start, busy = time.perf_counter(), time.process_time()
    out = call()
    return time.perf_counter() - start, time.process_time() - busy, out.float()


def psnr(got: torch.Tensor, want: torch.Tensor) -> float:
    return (10 * torch.log10((want.max() - want.min()) ** 2 / (got - want).square().mean())).item()


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0)
    args = parser.parse_args()
    if args.threads:
        torch.set_num_threads(args.threads)
    print(
        f"{'':24} {'ours':>8} {'diffusers':>10} {'ratio':>6} {'cpu ratio':>10} {'PSNR ours':>10} {'theirs':>8}"
    )
    for name, build in (
        ("transformer", lambda d: transformers(args.layers, d)),
        ("decode", lambda d: codecs(args.side, d)),
    ):
        reference = None
        for dtype in (torch.float32, torch.bfloat16):
            calls = build(dtype)
            results = [[timed(call) for call in calls] for _ in range(args.rounds + 1)][1:]
            best = [[min(row[i][k] for row in results) for k in (0, 1)] for i in (0, 1)]
            ours, theirs = (results[-1][i][2] for i in (0, 1))
            reference = theirs if reference is None else reference
            print(
                f"{name + ' ' + str(dtype)[6:]:24} {best[0][0]:7.3f}s {best[1][0]:9.3f}s {best[1][0] / best[0][0]:6.2f}"
                f" {best[1][1] / best[0][1]:10.2f} {psnr(ours, reference):10.1f} {psnr(theirs, reference):8.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
