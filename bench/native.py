"""Native sizes, packed or in buckets, against fixed squares at equal compute: python bench/native.py all

Three small models (bench/_small.py) see the same clips in the same processor minutes: `packed`, clips of all sizes in
one row; `buckets`, a size a step; `squares`, wide and tall clips cropped to their middle square, as models before Sora
were trained. Then each is asked for squares, wide and tall clips that no arm has seen. Error: of the velocity on
held-out clips in full size, at fixed noise. Framed: the parser finds one object that stays whole inside the picture.

    python bench/native.py data|train|score --run DIR [--arm ARM] [--minutes M]

`--from default` begins all arms with the weights of the default model, which draws objects already and has seen some
wide and tall clips: then the question is which way of training spoils the framing. That model is scored beside them.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from _small import (
    CONFIG,
    FURTHER,
    SIZES,
    SMALL,
    errors,
    load_average,
    make_data,
    mean_of,
    objective_of,
    text_encoder,
    train_for,
)

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.codec.model import Codec
from sorairo.data.loader import LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.evaluation.judge import judge
from sorairo.evaluation.parse import Parsed, load_parser
from sorairo.evaluation.suites import Suite, facts_of, prompt_of
from sorairo.files import write_text
from sorairo.training.objectives.sheets import SheetConfig, decoded, sheet_latents
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import Video
from sorairo.video import contact_sheet
from sorairo.worlds import get_world

LOADER = LoaderConfig(tokens=1728, stills=0.1, captions=(0.4, 0.2, 0.2, 0.2), refresh=100)
ARMS = {
    "packed": ("train", replace(LOADER, packed=True)),
    "buckets": ("train", LOADER),
    "squares": ("square", LOADER),
}
READ = ("objects", "count", "colours", "shapes", "event")
ASPECTS = {"square": SIZES[0], "wide": SIZES[1], "tall": SIZES[2]}


def train(run: Path, data: Path, arm: str, minutes: float, begin: str) -> None:
    folder, loader = ARMS[arm]
    if (run / arm / "spent.json").exists():
        return
    config = PRESETS[begin] if begin else SMALL
    objective = objective_of(data / folder, run / arm, loader, config=config, begin=begin)
    made = train_for(objective, run / arm, minutes, FURTHER if begin else CONFIG)
    print(arm, json.dumps(made), flush=True)


def trained(run: Path, arm: str, begin: str) -> Transformer:
    """The weights of an arm, or those that all began with."""
    if arm == begin:
        transformer = load_checkpoint(begin, "fp32").transformer
        assert isinstance(transformer, Transformer)
        return transformer.requires_grad_(False)
    return load_average(run / arm, PRESETS[begin] if begin else SMALL)


def framed(parsed: Parsed, size: tuple[int, int]) -> bool:
    """One object, found in every frame, at least a pixel from every edge by the size that its area tells."""
    if len(parsed.objects) != 1:
        return False
    track = parsed.objects[0]
    if not np.isfinite(track.path).all():
        return False
    half = track.size / 2
    return bool(((track.path - half > 1) & (track.path + half < np.array(size) - 1)).all())


def clips_of(
    transformer: Transformer, size: tuple[int, int], texts: list[str], codec: Codec
) -> Iterator[Video]:
    """What it makes of prompts, 16 guided steps."""
    config, text = SheetConfig(size=size, guidance=3.0, shift=3.0), text_encoder()
    for start in range(0, len(texts), 8):
        asked = text.encode(texts[start : start + 8])
        for latents in sheet_latents(transformer, codec, asked, text.encode([""]), config, first=start):
            yield decoded(codec, latents, 8.0)


def cell(run: Path, data: Path, count: int, begin: str, aspect: str, arm: str) -> dict[str, list[float]]:
    """What one arm does at one aspect, a number for each clip; read again where an earlier call has written it."""
    path = run / "cells" / f"{aspect}-{arm}-{count}.json"
    if path.exists():
        return json.loads(path.read_text())
    codec, world, size = load_checkpoint("default", "fp32").codec, get_world("studio"), ASPECTS[aspect]
    suite = Suite(circle=0, count=count, size=size, seed=41)
    real = [world.clip(41_000_000 + i, size=size, split="heldout") for i in range(count)]
    texts, facts = [prompt_of(clip, suite).text for clip in real], [facts_of(clip) for clip in real]
    made: dict[str, list[float]] = {}
    videos = [clip.video for clip in real]
    if arm != "real":
        transformer = trained(run, arm, begin)
        held = [path for path in sorted((data / "held").glob("*.safetensors")) if _size(path) == list(size)]
        made["error"] = errors(transformer, held).tolist()
        videos = list(clips_of(transformer, size, texts, codec))
    parser = load_parser()
    read = [parser(video) for video in videos]
    made["framed"] = [float(framed(one, size)) for one in read]
    for name in READ:
        made[name] = [judge(one, f)[name] for one, f in zip(read, facts, strict=True)]
    labels = [f"{arm}, {aspect}: {text}"[:90] for text in texts[:2]]
    contact_sheet(videos[:2], labels, path.with_suffix(".png"), columns=2, frames_per=5)
    write_text(path, json.dumps(made) + "\n")
    print(aspect, arm, {name: str(mean_of(values)) for name, values in made.items()}, flush=True)
    return made


def score(run: Path, data: Path, count: int, begin: str) -> None:
    """All cells, then each arm less those before it on the same clips and prompts."""
    torch.set_num_threads(1)
    (run / "cells").mkdir(exist_ok=True)
    arms = [name for name in ARMS if (run / name / "spent.json").exists()] + ([begin] if begin else [])
    cells = {
        (aspect, arm): cell(run, data, count, begin, aspect, arm)
        for aspect in ASPECTS
        for arm in ("real", *arms)
    }
    groups = {**{aspect: (aspect,) for aspect in ASPECTS}, "wide and tall": ("wide", "tall")}
    table: dict[str, dict[str, dict[str, str]]] = {}
    for group, aspects in groups.items():
        for arm in ("real", *arms):
            values = _joined(cells, aspects, arm)
            row = {name: str(mean_of(found)) for name, found in values.items()}
            for other in arms[: arms.index(arm)] if arm != "real" else ():
                less = _joined(cells, aspects, other)
                for name in ("error", "framed", "objects"):
                    row[f"{name} - {other}"] = str(mean_of(np.subtract(values[name], less[name])))
            table.setdefault(group, {})[arm] = row
            print(group, arm, json.dumps(row), flush=True)
    write_text(run / "scores.json", json.dumps(table, indent=1) + "\n")


def _joined(
    cells: dict[tuple[str, str], dict[str, list[float]]], aspects: Sequence[str], arm: str
) -> dict[str, list[float]]:
    """The numbers of several aspects, one behind another."""
    first = cells[aspects[0], arm]
    return {name: [v for aspect in aspects for v in cells[aspect, arm][name]] for name in first}


def _size(path: Path) -> list[int]:
    return list(read_shard(path).info["size"])


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("what", choices=["data", "train", "score", "all"])
    ask.add_argument("--run", type=Path, default=Path("runs/native"))
    ask.add_argument("--arm", choices=list(ARMS))
    ask.add_argument("--minutes", type=float, default=2.5)
    ask.add_argument("--shards", type=int, default=16)
    ask.add_argument("--count", type=int, default=24)
    ask.add_argument("--data", type=Path, help="where the clips are; default: in the folder of the run")
    ask.add_argument("--from", dest="begin", choices=["single"], default="", help="begin with its weights")
    given = ask.parse_args()
    data = given.data or given.run
    if given.what in ("data", "all"):
        make_data(data, given.shards)
    if given.what in ("train", "all"):
        for name in [given.arm] if given.arm else ARMS:
            train(given.run, data, name, given.minutes, given.begin)
    if given.what in ("score", "all"):
        score(given.run, data, given.count, given.begin)
