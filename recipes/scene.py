"""The scene: a small transformer that draws, from words, where each object of a clip is in every frame.

Command:   sorairo train scene --run runs/scene/run
           (beside it, to simulate more than the first clips while it trains: the same with --data-only)
Needs:     pip install "sorairo[worlds,train]"
Makes:     runs/scene/tracks, then runs/scene/run/export, the model `default` with another scene/
Time:      60 ms a clip to simulate, 3 s a step of 52 clips, on one core without AVX512
Expects:   docs/scene.md has the scores

A clip's tracks are a video of their own: four positions, one for each object, over the same latent frames. So the
transformer, the objective, the loader and the sampler are those of pictures.
"""

from __future__ import annotations

import logging
import re
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sorairo.checkpoints.folder import find_folder, load_checkpoint
from sorairo.checkpoints.save import save_checkpoint
from sorairo.data.encoders import words_encoder
from sorairo.data.latents import Words, encoded_words
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import read_shard, write_shard
from sorairo.data.sources.mirror import mirrored_words
from sorairo.data.sources.worlds import caption_lines
from sorairo.data.tracks import tracks_of
from sorairo.flow.times import TimesConfig
from sorairo.scenes.model import GOING_ON, SceneConfig, SceneModel
from sorairo.scenes.tracks import POSITIONS
from sorairo.training.loop import TrainConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule
from sorairo.transformer.model import Transformer
from sorairo.worlds import WorldClip, get_world, render_clips
from sorairo.worlds.templates import CAMERA_WORDS

log = logging.getLogger("scene")
BASE = "default"  # whose words it reads, and whose pictures are made along what it draws
CONFIG = SceneConfig()
FIRST_SEED = 2_000_000
CLIPS = 128  # a shard's simulations; each is there twice, as it is and mirrored
FRAMES, SIZE = 17, (64, 64)
FIRST, ALL = 8, 400  # shards to begin with, and with --data-only
LATE_SEED, LATE_EVERY = 3_000_000, 3  # and a shard of clips that go on, beside every third
# The world says each camera move in four ways. These are more, in words that no held-out sentence has; braces hold
# choices.
CAMERAS = {
    "still": (
        "{The camera|The view} {stays where it is|stays put|stands still|keeps still|does not change}.",
        "{A fixed|A locked-off|An unmoving} {camera|view}.",
        "{No camera movement|Only the objects move|The camera is fixed|The camera is locked}.",
        "{Filmed|Seen} from {one spot|a tripod}.",
    ),
    "pan left": (
        "{The camera|The view|The lens} {turns|looks|sweeps|swings|pans|moves} {left|to the left|leftwards}.",
        "{Pan|Look|Turn|Panning|Looking|Turning} {left|to the left}.",
        "{Camera|View} to the left.",
    ),
    "dolly in": (
        "{The camera|The view} {approaches|gets closer|comes nearer|goes forward|moves in|travels forwards}.",
        "{Zoom|Zooming|Moving|Going|A slow zoom} in.",
        "{Getting|Coming} {nearer|closer}.",
    ),
    "dolly out": (
        "{The camera|The view} {goes backwards|moves back|withdraws|gets farther away|travels back|widens}.",
        "{Zoom|Zooming|Moving|Going|A slow zoom} out.",
        "{Getting|Going} {farther away|backwards}.",
    ),
}
CAMERAS["pan right"] = tuple(line.replace("left", "right") for line in CAMERAS["pan left"])
# What shard i holds, in turn: (circle, whether what rolls leaves the picture)
KINDS = ((1, False), (1, False), (0, False), (1, False), (1, True), (1, False), (0, False), (1, False))


def data(run_dir: Path, everything: bool = False) -> None:
    """Simulate the first shards, or all."""
    folder = run_dir.parent / "tracks"
    world, words = get_world("studio"), words_encoder(load_checkpoint(BASE, "fp32").text)
    for index in range(ALL if everything else FIRST):
        if index % LATE_EVERY == 0:
            late(folder / f"late-{index:05d}.safetensors", LATE_SEED + CLIPS * index, words)
        path = folder / f"tracks-{index:05d}.safetensors"
        if path.is_file() and read_shard(path)["latents"].shape[-1] == POSITIONS:
            continue  # one from before scenes had a camera is made again
        circle, leaves = KINDS[index % len(KINDS)]
        first = FIRST_SEED + CLIPS * index
        facts: dict[str, Any] = {"size": SIZE, "frames": FRAMES, "circle": circle, "fps": 8.0}
        if leaves:
            facts["leaves"] = True
        latents, lines, records = [], [], []
        for clip in render_clips(world, range(first, first + CLIPS), **facts):
            tracks, said = tracks_of(clip, CONFIG.frames), caption_lines(clip.captions, clip.seed)
            other = caption_lines(clip.captions, clip.seed + 1)  # two more of its paraphrases, maybe
            said, other = (in_other_words(lines, clip) for lines in (said, other))
            latents += [tracks.encode(), tracks.mirrored().encode()]
            lines += [said, tuple(mirrored_words(line) for line in (*said[:2], *other[2:]))]
            records += [{"seed": clip.seed}, {"seed": clip.seed, "mirrored": True}]
        tensors = {"latents": torch.cat(latents), **encoded_words(lines, words)}
        write_shard(path, tensors, records, {"frames": FRAMES, "circle": circle})
        log.info("tracks: shard %d", index + 1)


def late(path: Path, first: int, words: Words) -> None:
    """Simulate clips three times as long, and keep a part of each that begins after its start."""
    if path.is_file():
        return
    latents, lines, records = [], [], []
    for clip in render_clips(
        get_world("studio"), range(first, first + CLIPS), size=SIZE, frames=3 * FRAMES - 2, circle=1, fps=8.0
    ):
        start = 2 * int(np.random.default_rng([clip.seed, 1]).integers(3, FRAMES))
        tracks = tracks_of(clip, CONFIG.frames, slice(start, start + FRAMES))
        said = in_other_words(caption_lines(clip.captions, clip.seed), clip)
        latents += [tracks.encode(), tracks.mirrored().encode()]
        lines += [tuple(GOING_ON + line for line in said)]
        lines += [tuple(GOING_ON + mirrored_words(line) for line in said)]
        records += [
            {"seed": clip.seed, "start": start},
            {"seed": clip.seed, "start": start, "mirrored": True},
        ]
    tensors = {"latents": torch.cat(latents), **encoded_words(lines, words)}
    write_shard(path, tensors, records, {"frames": FRAMES, "circle": 1})
    log.info("tracks: %s", path.name)


def in_other_words(said: tuple[str, str, str, str], clip: WorldClip) -> tuple[str, str, str, str]:
    """Captions (long, short, two paraphrases) whose paraphrases say the camera's move in ways of CAMERAS too."""
    move = str(clip.state["camera_move"])
    if move not in CAMERAS:
        return said
    rng = np.random.default_rng([clip.seed, len(said[2])])
    known, more = CAMERA_WORDS[move], wordings(move)
    long, short, *paraphrases = said
    for index, text in enumerate(paraphrases):
        for words in (known.long, *known.trained):
            if words in text and rng.random() < len(more) / (len(more) + len(known.trained)):
                paraphrases[index] = text.replace(words, str(rng.choice(more)))
                break
    return long, short, paraphrases[0], paraphrases[1]


def wordings(move: str) -> list[str]:
    """All sentences of CAMERAS for a move that the world does not say: '{Zoom|Going} in.' is two."""
    parts = [[part.split("|") for part in re.split(r"[{}]", line)] for line in CAMERAS[move]]
    said = ["".join(words) for line in parts for words in product(*line)]
    return [one for one in said if one not in CAMERA_WORDS[move].trained and one != CAMERA_WORDS[move].long]


def camera_words() -> set[str]:
    """The words of all of CAMERAS."""
    return {
        word for move in CAMERAS for line in wordings(move) for word in re.findall("[a-z']+", line.lower())
    }


def build(run_dir: Path) -> tuple[Diffusion, TrainConfig]:
    """The objective and the loop's settings."""
    torch.manual_seed(0)
    transformer = Transformer(CONFIG.transformer)
    transformer.init_weights()
    text = load_checkpoint(BASE, "fp32").text
    empty = text.encode([""])
    loader = Loader(
        run_dir.parent / "tracks",
        run_dir / "lists",
        LoaderConfig(tokens=2304, patch=1, stills=0.1, captions=(0.3, 0.2, 0.25, 0.25), drop=0.1, refresh=50),
        empty.states[0, : int(empty.lengths[0])].float(),
    )
    objective = Diffusion(
        transformer,
        loader,
        DiffusionConfig(times=TimesConfig(per_frame=0.1, known=0.2, shift=1.0)),
        sampler=lambda *_: {},
        exporter=write,
    )
    return objective, TrainConfig(
        optim=OptimConfig(lr=1e-3, muon_lr=2e-3),
        schedule=Schedule(warmup=100),
        ema_decay=0.998,
        checkpoint_minutes=4,
        sample_every=0,
        compile=True,
    )


def write(transformer: Transformer, folder: Path) -> None:
    """The base with this scene's transformer; the embedding, which recipes/circles.py trains, is the base's."""
    source = find_folder(BASE)
    whole = load_checkpoint(source, "fp32")
    assert isinstance(whole.transformer, Transformer) and whole.scene is not None
    scene = SceneModel(CONFIG)
    scene.transformer.load_state_dict(transformer.state_dict())
    scene.embedding.load_state_dict(whole.scene.embedding.state_dict())
    save_checkpoint(
        folder,
        whole.codec,
        whole.transformer,
        source,
        replace(whole.info, vocabulary=tuple(sorted({*whole.info.vocabulary, *camera_words()}))),
        shift=whole.shift,
        sampler=whole.sampler,
        decoder=whole.decoder,
        scene=scene,
    )
