"""The network behind --upscale 2: frames of the studio at twice the sizes of the default model.

Command:   sorairo train upscaler --run runs/upscaler
           cp runs/upscaler/export/x2.safetensors src/sorairo/upscale/weights/
Needs:     pip install "sorairo[worlds,train]"; a model that ships, whose codec half of the crops go through
Makes:     runs/upscaler-pixels (106 clips of 5 frames, 90 MB), runs/upscaler
Time:      minutes of one core
Expects:   python bench/upscale.py, whose table is in docs/tasks/upscale.md
"""

from __future__ import annotations

from pathlib import Path

import torch

from sorairo.checkpoints.folder import find_folder, load_codec
from sorairo.codec.model import Codec
from sorairo.data.shards import write_shard
from sorairo.pixels import from_levels, to_levels
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.upscaler import UpscalerObjective, UpscalerObjectiveConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.training.parallel.placement import working_dtype
from sorairo.upscale.network import Upscaler, UpscalerConfig, halved
from sorairo.worlds import get_world, render_clips

CLIPS = (  # split, circle, size, seeds: most of what the default model knows, at twice its sizes
    ("train", 0, (192, 192), range(800_000_000, 800_000_020)),
    ("train", 3, (192, 192), range(801_000_000, 801_000_020)),
    ("train", 0, (256, 256), range(802_000_000, 802_000_008)),
    ("train", 2, (128, 128), range(803_000_000, 803_000_016)),
    ("train", 1, (192, 128), range(804_000_000, 804_000_016)),
    ("train", 0, (192, 192), range(805_000_000, 805_000_020)),
    ("heldout", 0, (192, 192), range(810_000_000, 810_000_003)),
    ("heldout", 3, (192, 192), range(811_000_000, 811_000_003)),
)
RENDERED, KEPT = 13, 5  # frames: as many as the world makes at least, and as many of them as are kept
STEPS = 4000


def data(run_dir: Path, everything: bool = True) -> None:
    """Render the clips that are missing, halve them, and put the halves through the codec."""
    world, codec = get_world("studio"), load_codec(find_folder("default") / "vae", working_dtype("auto"))
    for split, circle, size, seeds in CLIPS:
        path = pixels(run_dir) / f"{split}-{circle}-{size[0]}x{size[1]}-{seeds.start}.safetensors"
        if path.exists():
            continue
        facts = {"size": size, "frames": RENDERED, "fps": 8.0, "circle": circle, "split": split}
        clips = []
        for clip in render_clips(world, seeds, workers=0, **facts):
            first = clip.seed % (RENDERED - KEPT + 1)  # so that not all of them begin before the event does
            clips.append(torch.from_numpy(clip.video.frames[first : first + KEPT]))
        frames = torch.stack(clips)  # n t 2h 2w 3
        halves = halved(frames)
        decoded = torch.stack([through(codec, clip) for clip in halves])
        tensors = {"frames": frames, "halves": halves, "decoded": decoded}
        write_shard(path, tensors, [{"seed": seed} for seed in seeds], {"fps": 8.0})


@torch.inference_mode()
def through(codec: Codec, clip: torch.Tensor) -> torch.Tensor:
    """A clip uint8 (t h w 3) encoded and decoded."""
    weight = next(codec.parameters())
    video = from_levels(clip.permute(3, 0, 1, 2)[None]).to(weight.dtype)  # 1 3 t h w
    return to_levels(codec.decode(codec.encode(video))[0]).permute(1, 2, 3, 0)


def build(run_dir: Path) -> tuple[UpscalerObjective, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    objective = UpscalerObjective(
        network=Upscaler(UpscalerConfig()),
        config=UpscalerObjectiveConfig(),
        train_shards=sorted(pixels(run_dir).glob("train-*.safetensors")),
        held_out_shards=sorted(pixels(run_dir).glob("heldout-*.safetensors")),
    )
    config = TrainConfig(
        steps=STEPS,
        threads=1,
        ema_decay=0.99,
        optim=OptimConfig(lr=2e-3, muon_lr=3e-3, weight_decay=0.0, adamw_names=("head", "tail")),
        schedule=Schedule(warmup=50, decay_from=STEPS // 2, decay_steps=STEPS // 2, shape="linear"),
        sample_every=1000,
        checkpoint_minutes=1,
        tensorboard=False,
    )
    return objective, config


def pixels(run_dir: Path) -> Path:
    """Where the clips are."""
    return run_dir.parent / "upscaler-pixels"
