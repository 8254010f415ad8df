"""A student of the default model: four steps without guidance instead of sixteen with, for words and known frames.

Command:   sorairo train few_steps --run runs/few_steps/run [--from fast]
           (beside it, to make more paths of the teacher while it trains: the same with --data-only)
Needs:     pip install "sorairo[worlds,train]"
Makes:     clips of the world in runs/few_steps/latents, runs/few_steps/paths, then runs/few_steps/run/export, a model
           that takes four Euler steps
Time:      docs/fast.md: minutes for the clips, 20 s a file of paths of 96 px, 3 s a step, on one core without AVX512
Expects:   docs/fast.md has the scores beside the teacher's

The teacher is what ships, by name, so `sorairo generate -m default` reaches it whatever becomes of the student. TEACHER
and WAY are what to change: any folder of Wan's shape can be the teacher.
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Literal

from sorairo.checkpoints.folder import Checkpoint, find_folder, load_checkpoint, read_info
from sorairo.checkpoints.save import save_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.latents import Bucket, LatentPlan, make_latents
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.sources.mirror import Mirrored
from sorairo.data.sources.worlds import Worlds
from sorairo.flow.samplers import Sampler
from sorairo.training.loop import Objective, TrainConfig
from sorairo.training.objectives.distill import Distill, DistillConfig
from sorairo.training.objectives.paths import PathsConfig, PathStudent, make_paths
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

TEACHER = "single"
WAY: Literal["paths", "consistency", "dmd"] = "paths"
TIMES = (1000, 900, 750, 500)  # of the ways that go back up with fresh noise
FIRST, ALL = 40, 400  # files of paths to begin with, and with --data-only
# What the teacher was taught, mostly at the size that is asked of it most: their words and known frames begin the paths
PLAN = LatentPlan(
    first_seed=600_000,
    shards=24,
    clips=64,
    run=2,
    buckets=(
        Bucket(size=(96, 96), frames=17, share=0.75),
        Bucket(size=(64, 64), frames=17, share=0.2),
        Bucket(size=(96, 96), frames=1, share=0.05),
    ),
)


def data(run_dir: Path, everything: bool = False) -> None:
    """Clips of the world and, for `paths`, the teacher's paths: the first files, or all."""
    folder = run_dir.parent / "latents"
    if len(list(folder.glob("*.safetensors"))) < PLAN.shards:
        render(folder)
    if WAY == "paths":
        teacher, loader = parts(run_dir)
        config = PathsConfig(shift=teacher.shift, guidance=teacher.info.default_guidance)
        folder = run_dir.parent / "paths"
        make_paths(folder, ALL if everything else FIRST, transformer_of(teacher), loader, config)


def render(folder: Path) -> None:
    """The clips of PLAN, those that are missing."""
    make_latents(
        PLAN,
        folder,
        source=Mirrored(Worlds.of(PLAN.world, fps=PLAN.fps, split=PLAN.split, maps=PLAN.maps, workers=2)),
        encode=clip_encoder(LatentSpace.load(Path(__file__).with_name("latent_space.safetensors"))),
        words=words_encoder(load_checkpoint(TEACHER, "fp32").text),
    )


def parts(run_dir: Path) -> tuple[Checkpoint, Loader]:
    """The teacher, and the loader of clips and captions."""
    teacher = load_checkpoint(TEACHER, "fp32")
    empty = teacher.text.encode([""])
    loader = Loader(
        run_dir.parent / "latents",
        run_dir / "lists",
        LoaderConfig(tokens=2592, drop=0.0, captions=(0.25, 0.15, 0.3, 0.3)),
        empty.states[0, : int(empty.lengths[0])].float(),
    )
    return teacher, loader


def transformer_of(teacher: Checkpoint) -> Transformer:
    """Its one transformer. Raises UserError."""
    if isinstance(teacher.transformer, Experts):
        raise UserError(
            f"{TEACHER} has two transformers that take turns; a student of them is not supported."
        )
    return teacher.transformer


def build(run_dir: Path) -> tuple[Objective, TrainConfig]:
    """The objective and the loop's settings."""
    teacher, loader = parts(run_dir)
    if WAY == "paths":
        student = PathStudent(
            transformer_of(teacher).train(),
            run_dir.parent / "paths",
            PathsConfig(shift=teacher.shift, guidance=teacher.info.default_guidance),
            sampler=lambda *_: {},
            exporter=partial(write_path_model, TEACHER),
        )
        return student, TrainConfig(
            optim=OptimConfig(lr=4e-4, muon_lr=8e-4),
            schedule=Schedule(warmup=30),
            ema_decay=0.99,
            sample_every=0,
        )
    config = DistillConfig(way=WAY, guidance=teacher.info.default_guidance, times=TIMES, shift=teacher.shift)
    objective = Distill(
        transformer_of(teacher), loader, config, sampler=lambda *_: {}, exporter=partial(write_model, TEACHER)
    )
    return objective, TrainConfig(
        optim=OptimConfig(lr=1e-4, muon_lr=2e-4),
        schedule=Schedule(warmup=50),
        ema_decay=0.995,
        sample_every=0,
    )


def write_path_model(teacher: str, student: Transformer, folder: Path) -> None:
    """The student that takes Euler steps along the teacher's path."""
    source = find_folder(teacher)
    whole, info = load_checkpoint(source, "fp32"), read_info(source)
    info = replace(
        info,
        name=f"{info.name}-few",
        default_steps=PathsConfig().steps,
        default_guidance=1.0,
        recipe="recipes/few_steps.py",
        scorecard={},
    )
    save_checkpoint(
        folder, whole.codec, student, source, info, shift=whole.shift, sampler=Sampler(name="euler")
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
