"""Pictures along scenes: from one object under a still camera to two that meet, under one that moves.

Command:   sorairo train circles --from default --run runs/circles/run
           (beside it, to render more than the first clips while it trains: the same with --data-only)
Needs:     pip install "sorairo[worlds,train]"
Makes:     runs/circles/latents, then runs/circles/run; sheets in runs/circles/run/samples, of clips without a scene
Time:      as many hours as there are: it holds its learning rate until `--decay STEPS --to DIR` ends a copy
Expects:   docs/scene.md has the scores

Most clips are of 64 px, where a step teaches 2.25 times as many of them as at 96 px. Old clips of one object stay in
the mix, so that what was learnt is kept. CIRCLES is what to widen once two objects hold.
"""

from __future__ import annotations

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from sorairo.checkpoints.folder import find_folder, load_checkpoint, read_info
from sorairo.checkpoints.save import save_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.latents import Bucket, LatentPlan, make_latents, vocabulary
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.sources.mirror import Mirrored
from sorairo.data.sources.worlds import Worlds
from sorairo.flow.times import TimesConfig
from sorairo.scenes.embedding import SceneEmbedding
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.objectives.sheets import SheetConfig, sheet_sampler
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.training.state import newest_step
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

BASE = "default"  # whose codec, words and sampler the model keeps
SCENE = (
    "scene/run/export"  # what recipes/scene.py made, in the folder of all runs; else the base's scene is kept
)
CIRCLES = {0: 0.3, 1: 0.7}  # circle -> share of the clips
FIRST = 12  # shards to begin with
PLAN = LatentPlan(
    first_seed=400_000,  # those before taught the models before
    scenes=True,
    shards=400,
    clips=64,
    run=2,
    buckets=tuple(
        bucket
        for circle, share in CIRCLES.items()
        for bucket in (
            Bucket(size=(64, 64), frames=17, share=0.72 * share, circle=circle),
            Bucket(size=(96, 96), frames=17, share=0.24 * share, circle=circle),
            Bucket(size=(64, 64), frames=17, share=0.04 * share, circle=circle, leaves=True),
        )
    ),
)
PROMPTS = (
    "a red ball rolling to the right and a blue cube",
    "a green ball hits a yellow cube",
    "two balls drop onto the floor",
    "a purple cone slides past an orange cylinder, the camera pans to the left",
    "a red ball rolling",
    "a blue cube dropping, the camera moves closer",
    "A large shiny teal ball rolls down a ramp.",
    "A small matte pink cube drops onto the floor and bounces. A cream floor under a clear blue sky.",
)


def data(run_dir: Path, everything: bool = False) -> None:
    """Render and encode clips of the circles: the first shards, or all of the plan."""
    folder = run_dir.parent / "latents"
    if not everything and len(list(folder.glob("*.safetensors"))) >= FIRST:
        return
    world = Worlds.of(
        PLAN.world, fps=PLAN.fps, split=PLAN.split, maps=PLAN.maps, workers=max(1, (os.cpu_count() or 2) - 1)
    )
    make_latents(
        PLAN if everything else replace(PLAN, shards=FIRST),
        folder,
        source=Mirrored(world),
        encode=clip_encoder(latent_space()),
        words=words_encoder(load_checkpoint(BASE, "fp32").text),
    )


def build(run_dir: Path) -> tuple[Diffusion, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    transformer = Transformer(PRESETS["default"])
    transformer.init_weights()
    text = load_checkpoint(BASE, "fp32").text
    empty = text.encode([""])
    loader = Loader(
        run_dir.parent / "latents",
        run_dir / "lists",
        LoaderConfig(tokens=2592, scenes=True, stills=0.3, captions=(0.25, 0.15, 0.3, 0.3), refresh=50),
        empty.states[0, : int(empty.lengths[0])].float(),
    )
    objective = Diffusion(
        transformer,
        loader,
        DiffusionConfig(times=TimesConfig(per_frame=0.2, known=0.2, shift=2.0), scene=0.8, objects=3.0),
        sampler=sheet_sampler(latent_space(), text, PROMPTS, SheetConfig(shift=4.0)),
        exporter=partial(write_model, run_dir),
        space=latent_space(),
    )
    return objective, TrainConfig(
        optim=OptimConfig(lr=5e-4, muon_lr=1e-3),
        schedule=Schedule(warmup=100),
        ema_decay=0.998,
        checkpoint_minutes=4,
        sample_every=500,
        compile=True,
    )


def write_model(run_dir: Path, transformer: Transformer, folder: Path, scene: SceneEmbedding) -> None:
    """The checkpoint folder that users load."""
    base = find_folder(BASE)
    info = read_info(base)
    info = replace(
        info,
        vocabulary=tuple(sorted({*info.vocabulary, *vocabulary(run_dir.parent / "latents")})),
        recipe="recipes/circles.py",
        steps_trained=(info.steps_trained or 0) + (newest_step(run_dir / "checkpoints") or 0),
        data_seed=PLAN.first_seed,
        scorecard={},
    )
    checkpoint = load_checkpoint(base, "fp32")
    made = run_dir.parent.parent / SCENE
    drawn = load_checkpoint(made, "fp32").scene if made.is_dir() else checkpoint.scene
    assert drawn is not None
    drawn.embedding.load_state_dict(scene.state_dict())
    save_checkpoint(
        folder,
        checkpoint.codec,
        transformer,
        base,
        info,
        shift=checkpoint.shift,
        decoder=checkpoint.decoder,
        scene=drawn,
    )


def latent_space() -> LatentSpace:
    """The space of the latents, which stays while the codec's decoder goes on learning."""
    return LatentSpace.load(Path(__file__).with_name("latent_space.safetensors"))
