"""The small decoder beside the codec's own and the linear inverse, in one run.

    python bench/small_decoder.py [--decoder FOLDER/decoder] [--clips 24] [--prompts 8]

PSNR of held-out clips of the studio that are encoded and decoded, of one object and of the whole world: their latents
as they are, and with noise of deviation 0.1. Then of clips that the model makes; there the codec's frames are the
reference. Time: one thread, processor milliseconds for 17 frames of 96x96, A B A B, the fastest of five rounds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.checkpoints.layouts import decoder_source
from sorairo.checkpoints.tensors import load_weights
from sorairo.codec.losses import psnr
from sorairo.codec.small import SmallDecoder
from sorairo.evaluation.suites import Suite
from sorairo.generation.generate import samples
from sorairo.pixels import from_frames
from sorairo.serving.preview import linear_map
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.worlds import get_world, render_clips

Decode = Callable[[Tensor], Tensor]


def load(folder: Path) -> SmallDecoder:
    """A decoder/ folder, in float32."""
    source = decoder_source(folder)
    decoder = SmallDecoder(source.config)
    load_weights(decoder, source.entries, source.adapt, torch.float32)
    return decoder.eval().requires_grad_(False)


def held_out(circle: int, count: int) -> list[Tensor]:
    """Clips that no training saw, 1 3 t h w."""
    seeds = range(700_000_000 + circle * 10_000_000, 700_000_000 + circle * 10_000_000 + count)
    facts = {"size": (96, 96), "frames": 17, "fps": 8.0, "circle": circle, "split": "heldout"}
    clips = render_clips(get_world("studio"), seeds, workers=0, **facts)
    return [from_frames(clip.video.frames) for clip in clips]


def quality(
    model: Checkpoint, ways: dict[str, Decode], clips: list[Tensor], noise: float
) -> dict[str, float]:
    """Mean PSNR of every way to decode."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    generator = torch.Generator().manual_seed(0)
    for clip in clips:
        latents = model.codec.encode(clip)
        latents = latents + noise * torch.randn(latents.shape, generator=generator)
        for name, decode in ways.items():
            found[name].append(float(psnr(decode(latents), clip)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def made(model: Checkpoint, ways: dict[str, Decode], prompts: int) -> dict[str, float]:
    """Mean PSNR between what each way shows of the model's own latents and what the codec shows."""
    found: dict[str, list[float]] = {name: [] for name in ways if name != "codec"}
    for clip in Suite(circle=0, count=prompts, seed=31).clips():
        plan = text_to_video(
            clip.captions.long, model.abilities, Ask(size=(96, 96), frames=17, seed=clip.seed)
        )
        kept: list[Tensor] = []
        list(samples([plan], model, preview=lambda latents, _, kept=kept: kept.append(latents)))
        reference = ways["codec"](kept[-1].float())
        for name, values in found.items():
            values.append(float(psnr(ways[name](kept[-1].float()), reference)))
    return {name: float(np.mean(values)) for name, values in found.items()}


def milliseconds(ways: dict[str, Decode], rounds: int = 5) -> dict[str, float]:
    """Processor time of each, in turn."""
    latents = torch.randn(1, 24, 9, 12, 12)
    best = dict.fromkeys(ways, float("inf"))
    for _ in range(rounds + 1):
        for name, decode in ways.items():
            began = time.process_time()
            decode(latents)
            best[name] = min(best[name], 1000 * (time.process_time() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--decoder", type=Path, help="a decoder/ folder; else the one of `fast`")
    parser.add_argument("--clips", type=int, default=24, help="held-out clips of each kind")
    parser.add_argument(
        "--prompts", type=int, default=0, help="clips that the model makes; 0 leaves them out"
    )
    args = parser.parse_args()
    torch.set_num_threads(1)
    model = load_checkpoint("default", "fp32")
    small = load(args.decoder) if args.decoder else load_checkpoint("fast", "fp32").decoder
    space = linear_map(model.folder)
    assert small is not None
    assert space is not None
    ways: dict[str, Decode] = {"codec": model.codec.decode, "small": small.decode, "linear": space.decode}
    parameters = sum(p.numel() for p in small.parameters())
    print(f"{parameters / 1e6:.2f} M parameters\n\n| | {' | '.join(ways)} |\n|---|{'---:|' * len(ways)}")

    def row(name: str, values: dict[str, float], form: str = "{:.1f} dB") -> None:
        print(f"| {name} | {' | '.join(form.format(values[k]) if k in values else '' for k in ways)} |")

    with torch.inference_mode():
        for circle, name in ((0, "one object"), (3, "the whole world")):
            clips = held_out(circle, args.clips)
            row(f"{name}, {len(clips)} clips", quality(model, ways, clips, 0.0))
            row(f"{name}, noise 0.1", quality(model, ways, clips, 0.1))
        if args.prompts:
            row(f"made clips, beside the codec's frames, {args.prompts}", made(model, ways, args.prompts))
        row("processor time, 17 frames of 96x96", milliseconds(ways), "{:.0f} ms")


if __name__ == "__main__":
    main()
