"""A model that goes on learning from your own clips.

Command:   sorairo train own_clips --run runs/mine/run --steps 500
Needs:     runs/mine/clips: NAME.mp4 beside NAME.txt, a caption a line (docs/training.md)
Makes:     runs/mine/latents, runs/mine/run; runs/mine/run/export is what sorairo generate -m takes
Time:      3 seconds a step on one core
Expects:   not measured: it depends on your clips. Look at runs/mine/run/samples

MODEL, SIZE and FRAMES are what to change.
"""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial
from pathlib import Path

from sorairo.checkpoints.folder import find_folder, load_checkpoint, read_info
from sorairo.checkpoints.save import save_checkpoint
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.latents import Bucket, LatentPlan, make_latents, vocabulary
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.data.sources.clips import ClipFolder
from sorairo.files import write_once
from sorairo.flow.times import TimesConfig
from sorairo.text.encoder import TextEncoder
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.objectives.sheets import SheetConfig, sheet_sampler
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.training.state import newest_step
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

MODEL = "single"
SIZE, FRAMES = (96, 96), 17  # that the model can make, at its own frames a second
SHARD = 32  # clips in a file


def data(run_dir: Path, everything: bool = True) -> None:
    """Encode the clips and their captions, once; then the clips themselves are not needed any more."""
    info, latents = read_info(find_folder(MODEL)), run_dir.parent / "latents"
    source = ClipFolder(run_dir.parent / "clips", fps=info.fps)
    names = json.dumps([path.name for path in source.files], indent=1)
    if write_once(latents / "files.json", names) != names:
        raise UserError(
            f"The clips have changed since {latents} was made: remove that folder to encode them again."
        )
    model = load_checkpoint(MODEL, "fp32")
    if not isinstance(model.text, TextEncoder):
        raise UserError(f"{MODEL} reads words with umT5, which this recipe does not encode.")
    plan = LatentPlan(
        world="own clips",
        fps=info.fps,
        shards=-(-len(source) // SHARD),
        clips=SHARD,
        run=1,
        buckets=(Bucket(size=SIZE, frames=FRAMES, share=1),),
    )
    make_latents(
        plan, latents, source=source, encode=clip_encoder(model.codec), words=words_encoder(model.text)
    )


def build(run_dir: Path) -> tuple[Diffusion, TrainConfig]:
    """The objective and the loop's settings: the model's own weights, a small rate, noise levels as it was trained."""
    model, latents = load_checkpoint(MODEL, "fp32"), run_dir.parent / "latents"
    if not isinstance(model.transformer, Transformer) or not isinstance(model.text, TextEncoder):
        raise UserError(f"{MODEL} has two transformers or other words; choose a model of one.")
    shards = sorted(latents.glob("*.safetensors"))
    if not shards:
        raise UserError(f"{latents} holds no clips: none of yours could be used; the warnings above say why.")
    prompts = [record["captions"]["long"] for record in read_shard(shards[0]).records[:4]]
    empty = model.text.encode([""])
    objective = Diffusion(
        model.transformer.requires_grad_(True).train(),
        Loader(
            latents,
            run_dir / "lists",
            LoaderConfig(tokens=2592, captions=(0.25, 0.25, 0.25, 0.25)),
            empty.states[0, : int(empty.lengths[0])].float(),
        ),
        DiffusionConfig(times=TimesConfig(per_frame=0.2, known=0.2, shift=2.0), predicts=model.predicts),
        sampler=sheet_sampler(
            model.codec,
            model.text,
            prompts,
            SheetConfig(
                size=SIZE, frames=FRAMES, fps=model.info.fps, shift=model.shift, predicts=model.predicts
            ),
        ),
        exporter=partial(write_model, run_dir),
    )
    config = TrainConfig(
        optim=OptimConfig(lr=2e-4, muon_lr=4e-4),
        schedule=Schedule(warmup=50),
        ema_decay=0.99,
        sample_every=250,
        tensorboard=False,
    )
    return objective, config


def write_model(run_dir: Path, transformer: Transformer, folder: Path) -> None:
    """The checkpoint folder that users load: the model's codec and text encoder, the new weights."""
    source = find_folder(MODEL)
    model, info = load_checkpoint(source, "fp32"), read_info(source)
    words = vocabulary(run_dir.parent / "latents")
    info = replace(
        info,
        name=f"{info.name}-own",
        vocabulary=tuple(sorted({*info.vocabulary, *words})) if info.vocabulary else (),
        recipe="recipes/own_clips.py",
        steps_trained=info.steps_trained + newest_step(run_dir / "checkpoints"),
        scorecard={},
        licence="see the licence of the clips",
    )
    save_checkpoint(
        folder, model.codec, transformer, source, info, shift=model.shift, predicts=model.predicts
    )
