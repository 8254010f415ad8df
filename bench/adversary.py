"""What an adversarial loss does to the decoder, in equal processor time: python bench/adversary.py --pixels FOLDER

FOLDER: the clips that `sorairo train codec_default --run RUNS/codec` renders into RUNS/codec-pixels. Every arm goes on
from the decoder that ships, for the same processor seconds on one thread, on the same crops, while the rate falls to
zero; then held-out clips of the first circle go through it. FD: Frechet distance to the clips themselves, of frames
(MobileNetV2) and of clips (TransNetV2); edges: the mean gradient over the clips' own, less than 1 where it blurs.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.losses import psnr
from sorairo.codec.model import Codec
from sorairo.data.shards import read_shard
from sorairo.evaluation.features import MobileNetV2Features, TransNetV2Features
from sorairo.evaluation.metrics import frechet_estimate
from sorairo.training.objectives.codec import CodecObjective, CodecObjectiveConfig, write_codec
from sorairo.training.objectives.codec_data import CropShape, as_model_video
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.rng import torch_rng
from sorairo.types import Video

SPACE = Path(__file__).parents[1] / "recipes" / "latent_space.safetensors"
SHAPES = (
    CropShape(frames=9, size=(64, 64), batch=6, weight=0.9),
    CropShape(frames=1, size=(96, 96), batch=16, weight=0.1),
)


def shipped() -> Codec:
    codec = load_checkpoint("default", "fp32").codec
    assert isinstance(codec, Codec)
    return codec.requires_grad_(True)


def trained(weight: float, pixels: Path, seconds: float) -> tuple[Codec, int]:
    """(the decoder with its averaged weights, steps) after `seconds` more with an adversarial loss of this weight."""
    objective = CodecObjective(
        codec=shipped(),
        space=LatentSpace.load(SPACE),
        config=CodecObjectiveConfig(shapes=SHAPES, compiled=False, adversary=weight, noise_ramp=1),
        train_shards=sorted(pixels.glob("train-*.safetensors")),
        held_out_shards=[],
    )
    named = [(f"{k}.{name}", p) for k, m in objective.models.items() for name, p in m.named_parameters()]
    config = OptimConfig(
        lr=1e-3, muon_lr=1e-3, betas=(0.9, 0.98), adamw_names=("conv_in", "conv_out", "quant", "adversary")
    )
    optimizer = Optimizer(named, config, torch.float32)
    ema, step, began = Ema(optimizer.weights, 0.99), 0, time.process_time()
    while (spent := time.process_time() - began) < seconds:
        torch.manual_seed(torch_rng(0, step).initial_seed())
        loss, _ = objective.loss(objective.batch(step), step)
        loss.backward()
        optimizer.step(min(1.0, (step + 1) / 50) * (1 - spent / seconds))
        ema.update(optimizer.weights, step)
        step += 1
    with torch.no_grad():
        for name, p in objective.codec.named_parameters():
            if p.requires_grad:
                p.copy_(ema.average[f"codec.{name}"])
    return objective.codec, step


class Exam:
    """Held-out clips of the first circle, and what is known of them: features, and how sharp they are."""

    def __init__(self, pixels: Path, count: int):
        shards = sorted(pixels.glob("heldout-0-*.safetensors"))
        self.clips = [clip for path in shards for clip in read_shard(path)["frames"]][:count]  # uint8 t h w 3
        self.extractors = (MobileNetV2Features(), TransNetV2Features())
        self.real = [self.features(clip.numpy()) for clip in self.clips]

    def features(self, frames: np.ndarray) -> list[np.ndarray]:
        return [extract(Video(frames=frames, fps=8.0)) for extract in self.extractors]

    @torch.inference_mode()
    def row(self, codec: Codec) -> str:
        made, fidelity, sharp = [], [], []
        for clip in self.clips:
            video = as_model_video(clip[None], torch.float32)
            back = codec.pixels(codec.moments(video)[0]).clamp(-1, 1)
            fidelity.append(float(psnr(back, video)))
            sharp.append(steepness(back) / steepness(video))
            frames = ((back[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
            made.append(self.features(frames.numpy()))
        distances = [
            frechet_estimate(
                np.stack([one[k] for one in made]), np.stack([one[k] for one in self.real])
            ).value
            for k in range(len(self.extractors))
        ]
        return f"{np.mean(fidelity):.2f} | {np.mean(sharp):.3f} | {distances[0]:.1f} | {distances[1]:.3f}"


def steepness(video: Tensor) -> float:
    return float(video.diff(dim=-1).abs().mean() + video.diff(dim=-2).abs().mean())


def main(pixels: Path, seconds: float, clips: int, weights: list[float], out: Path | None) -> None:
    torch.set_num_threads(1)
    if not any(pixels.glob("heldout-0-*.safetensors")):
        print(
            f"{pixels} holds no held-out clips: sorairo train codec_default --run {pixels.parent / 'codec'}"
        )
        return
    exam = Exam(pixels, clips)
    print(f"{seconds:g} processor seconds each, one thread; {len(exam.clips)} held-out clips of 128 px")
    print(
        "| adversary | steps | PSNR, dB | edges | FD-MobileNetV2 | FD-TransNetV2 |\n|---:|---:|---:|---:|---:|---:|"
    )
    print(f"| what ships | 0 | {exam.row(shipped())} |", flush=True)
    for weight in weights:
        codec, steps = trained(weight, pixels, seconds)
        print(f"| {weight:g} | {steps} | {exam.row(codec)} |", flush=True)
        if out:
            write_codec(codec, out / f"vae-{weight:g}")


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--pixels", type=Path, default=Path("runs/codec-pixels"))
    ask.add_argument("--seconds", type=float, default=400.0)
    ask.add_argument("--clips", type=int, default=100)
    ask.add_argument("--weights", type=float, nargs="+", default=[0.0, 0.01, 0.05])
    ask.add_argument("--out", type=Path, default=None, help="write each decoder here, as vae-WEIGHT")
    main(**vars(ask.parse_args()))
