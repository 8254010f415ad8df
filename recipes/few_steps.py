"""A student of the default model: four steps without guidance in place of sixteen with, for words and known frames.

Command:   sorairo train few_steps --run runs/few_steps
Needs:     runs/latents (sorairo train default --run runs/default --data-only)
Makes:     runs/few_steps/export, a model that is asked at four timesteps of its own (sorairo generate -m FOLDER)
Time:      as many hours as there are; not run to its end yet, see docs/log.md
Expects:   not known yet. It is to ship if it loses at most 3 points of objects and events at 4 steps

The teacher is what ships, by name, so `sorairo generate -m default --steps 16 --guidance 3` reaches it whatever becomes
of the student. TEACHER and WAY are what to change: any folder of Wan's shape can be the teacher.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from sorairo.checkpoints.folder import find_folder, load_checkpoint, read_info
from sorairo.checkpoints.save import save_checkpoint
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.distill import Distill, DistillConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

TEACHER = "default"
WAY: Literal["consistency", "dmd"] = "consistency"
TIMES = (1000, 900, 750, 500)


def build(run_dir: Path) -> tuple[Distill, TrainConfig]:
    """The objective and the loop's settings."""
    teacher = load_checkpoint(TEACHER, "fp32")
    if isinstance(teacher.transformer, Experts):
        raise UserError(
            f"{TEACHER} has two transformers that take turns; a student of them is not supported."
        )
    empty = teacher.text.encode([""])
    loader = Loader(
        run_dir.parent / "latents",
        run_dir / "lists",
        LoaderConfig(tokens=2592, drop=0.0, captions=(0.25, 0.15, 0.3, 0.3)),
        empty.states[0, : int(empty.lengths[0])].float(),
    )
    config = DistillConfig(way=WAY, guidance=teacher.info.default_guidance, times=TIMES, shift=teacher.shift)
    objective = Distill(
        teacher.transformer, loader, config, sampler=lambda *_: {}, exporter=partial(write_model, TEACHER)
    )
    return objective, TrainConfig(
        optim=OptimConfig(lr=1e-4, muon_lr=2e-4),
        schedule=Schedule(warmup=50),
        ema_decay=0.995,
        sample_every=0,
    )


def write_model(teacher: str, student: Transformer, folder: Path) -> None:
    """The student in a folder of its own, with the teacher's codec and words."""
    source = find_folder(teacher)
    whole, info = load_checkpoint(source, "fp32"), read_info(source)
    info = replace(
        info,
        name=f"{info.name}-few",
        times=TIMES,
        default_steps=len(TIMES),
        default_guidance=1.0,
        recipe="recipes/few_steps.py",
        scorecard={},
    )
    save_checkpoint(folder, whole.codec, student, source, info, shift=whole.shift)
