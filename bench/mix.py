"""How much of the captions should be the captioner's? DALL-E 3's experiment on the worlds: python bench/mix.py all

Every clip of bench/native.py's data has the captioner's two sentences and two that came with it. Small models
(bench/_small.py) train for the same processor minutes with 65, 80, 90 and 95% synthetic long captions, the rest
original (Betker et al. 2023, section 3.2). Measured on held-out clips at fixed noise: the error of the velocity when
they are told the exact long caption, a short one, and a paraphrase; lower is better. Original captions of a simulated
clip are right, which those of the web are not, so this shows what the style of words costs, not what noise costs.

    python bench/mix.py caption|train|score [--arm 65] [--minutes M]
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

import torch
from _plot import Series, plot
from _small import errors, load_average, mean_of, objective_of, text_encoder, train_for

from sorairo.data.captions.base import Words, shares
from sorairo.data.captions.trained import SHIPPED, Trained
from sorairo.data.encoders import words_encoder
from sorairo.data.latents import KINDS, encoded_words
from sorairo.data.loader import LoaderConfig
from sorairo.data.shards import read_shard, write_shard
from sorairo.files import write_text

ARMS = (65, 80, 90, 95)
ASKED = ("long", "short", "paraphrase")
LOADER = LoaderConfig(tokens=1728, stills=0.1, refresh=100, packed=True)


def caption(data: Path, run: Path, weights: Path) -> None:
    """The clips of data/train with both kinds of captions, in run/clips."""
    torch.set_num_threads(1)
    captioner, words = Trained(weights), words_encoder(text_encoder())
    for path in sorted((data / "train").glob("*.safetensors")):
        if (run / "clips" / path.name).exists():
            continue
        shard, lines = read_shard(path), []
        for record, said in zip(shard.records, captioner.of(shard["latents"]), strict=True):
            own = record["captions"]
            both = Words(original=(own["paraphrase"], own["paraphrase2"]), synthetic=tuple(said)).by_kind()
            lines.append((both["long"], both["short"], both["paraphrase"], both["paraphrase2"]))
        records = [
            {**record, "captions": dict(zip(KINDS, line, strict=True))}
            for record, line in zip(shard.records, lines, strict=True)
        ]
        tensors = {name: value for name, value in shard.tensors.items() if not name.startswith("text_")}
        write_shard(
            run / "clips" / path.name, {**tensors, **encoded_words(lines, words)}, records, shard.info
        )
        print(path.name, records[0]["captions"], flush=True)


def train(run: Path, arm: int, minutes: float) -> None:
    folder = run / f"{arm}"
    if not (folder / "spent.json").exists():
        loader = replace(LOADER, captions=shares(arm / 100))
        print(
            arm,
            json.dumps(train_for(objective_of(run / "clips", folder, loader), folder, minutes)),
            flush=True,
        )


def score(data: Path, run: Path) -> None:
    torch.set_num_threads(1)
    held = sorted((data / "held").glob("*.safetensors"))
    found = {
        arm: {kind: errors(load_average(run / f"{arm}"), held, kind) for kind in ASKED}
        for arm in ARMS
        if (run / f"{arm}" / "spent.json").exists()
    }
    table = {arm: {kind: mean_of(values) for kind, values in row.items()} for arm, row in found.items()}
    print("| synthetic, % | " + " | ".join(ASKED) + " |\n|---:|" + "---:|" * len(ASKED))
    last = found[max(found)]
    for arm, row in table.items():
        more = {kind: mean_of(found[arm][kind] - last[kind]) for kind in ASKED}
        print(f"| {arm} | " + " | ".join(f"{row[kind].mean:.4f} ({more[kind]})" for kind in ASKED) + " |")
    write_text(
        run / "scores.json",
        json.dumps({a: {k: str(v) for k, v in r.items()} for a, r in table.items()}) + "\n",
    )
    series = [
        Series(name=kind, points=[(float(arm), table[arm][kind].mean) for arm in table]) for kind in ASKED
    ]
    plot(run / "mix.svg", series, across="synthetic captions, %", up="error of the velocity, held-out clips")


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("what", choices=["caption", "train", "score", "all"])
    ask.add_argument("--data", type=Path, default=Path("runs/native"))
    ask.add_argument("--run", type=Path, default=Path("runs/mix"))
    ask.add_argument("--arm", type=int, choices=ARMS)
    ask.add_argument("--minutes", type=float, default=4.0)
    ask.add_argument("--weights", type=Path, default=SHIPPED)
    given = ask.parse_args()
    if given.what in ("caption", "all"):
        caption(given.data, given.run, given.weights)
    if given.what in ("train", "all"):
        for one in [given.arm] if given.arm else ARMS:
            train(given.run, one, given.minutes)
    if given.what in ("score", "all"):
        score(given.data, given.run)
