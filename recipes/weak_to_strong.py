"""Weak to strong: can a supervisor that sees one frame teach the generator's own features what happens in a clip?

Command:   python -m recipes.weak_to_strong --run runs/weak
Needs:     pip install "sorairo[worlds,eval]"
Makes:     runs/weak/clips (rendered once), features, seed-*.json, table.md, plot.svg; it goes on where it was stopped
Time:      processor minutes: 6 of rendering, 3 of features, 1 for each seed
Expects:   docs/weak-to-strong.md has the table

Source: Burns et al. 2023 (arXiv 2312.09390). Four properties that the simulator knows; a clip's truth is never shown to
the student. A generator of the same shape with random weights is the control.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recipes.weak_to_strong_report import METHODS, TESTS, interval, plot, table
from recipes.weak_to_strong_tune import Settings, Student, below, said, tuned
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.data.encoders import clip_encoder
from sorairo.data.shards import Shard, read_shard, write_shard
from sorairo.evaluation.supervision import (
    MOST,
    Outcome,
    ProbeConfig,
    Score,
    balanced,
    bootstrapped,
    chosen,
    components,
    frame_classifier,
    reader,
)
from sorairo.files import whole_file
from sorairo.transformer.model import Transformer
from sorairo.worlds import WorldClip, get_world, render_clips

log = logging.getLogger("weak_to_strong")
PROPERTIES = ("goes left", "collides", "vanishes", "ends slower")
GUARDED, KNOWN = "collides", "rolling into"
"""What a guard of frames is to find, and the one wording that its supervisor knows (not "sliding into")."""
Supervisor = Callable[[dict[str, Any], np.ndarray], Tensor]  # (part, rows n) -> probability of "yes" (n)
SHARD = 100
FIRST_SEED = 700_000
FRAMES = 17
SIGMA = 0.3  # of the noise on the clips that the generator reads
STAGES = (2, 4, 6)  # the bootstrapped students see so many of BLOCKS
BLOCKS = (1, 2, 3, 4, 5, 6)  # whose tokens are read, from 0


@dataclass(frozen=True, kw_only=True)
class Part:
    """Clips for one purpose."""

    name: str
    shards: int
    split: str = "train"
    looks: int = 1  # frames of each clip that are kept, at random moments


PARTS = (
    Part(name="supervisor", shards=6, looks=6),  # the supervisor learns from their truth
    Part(name="student", shards=9),  # the student sees the supervisor's labels of these
    Part(name="test", shards=5),
    Part(
        name="combinations", shards=5, split="heldout"
    ),  # of colour, shape and event, kept out of all training
)
# What shard i holds, in turn: (events, whether what rolls leaves the picture)
KINDS = (
    (("collide",), False),
    (("roll",), True),
    (("roll",), False),
    (("collide",), False),
    (("slide", "ramp"), False),
)


def truths(clip: WorldClip) -> list[float]:
    """1, 0 or NaN (the question does not apply) for each of PROPERTIES."""
    state = clip.state
    actor = state["story"]["actors"][0]
    direction = state["story"]["direction"]
    left = {"to the left": 1.0, "to the right": 0.0}.get(direction, float("nan"))
    speed = np.linalg.norm(state["velocity"][:, actor], axis=-1)
    half = len(speed) // 2
    box = state["box"][-1, actor]
    gone = np.isnan(box).any() or (box[2] - box[0] < 3) or (box[3] - box[1] < 3)
    return [
        left,
        float(state["event"] == "collide"),
        float(gone),
        float(speed[-2:].mean() < 0.5 * speed[:half].max()),
    ]


def first_seed(number: int, shard: int) -> int:
    """The seed of the first clip of a shard of PARTS[number]."""
    return FIRST_SEED + 10_000 * number + SHARD * shard


def moments_of(first: int, looks: int) -> np.ndarray:
    """Which frames of a shard's clips are kept: (SHARD, looks), no frame of a clip twice."""
    rng = np.random.default_rng(first)
    return rng.permuted(np.tile(np.arange(FRAMES), (SHARD, 1)), axis=1)[:, :looks]


def glimpses(number: int, frames: Tensor) -> Tensor:
    """Frames (n looks 64 64 3) of PARTS[number] -> (n looks 32 32 4): half the size, the moment as a colour more."""
    part = PARTS[number]
    small = frames.unflatten(2, (32, 2)).unflatten(4, (32, 2)).float().mean((3, 5)).round()
    moments = [moments_of(first_seed(number, shard), part.looks) for shard in range(part.shards)]
    moment = torch.from_numpy(np.concatenate(moments))[:, :, None, None, None] * (255 / (FRAMES - 1))
    return torch.cat([small, moment.expand(*small.shape[:-1], 1).float()], -1).to(torch.uint8)


def shards_of(run: Path, part: Part) -> list[Shard]:
    """All clips of a part."""
    return [
        read_shard(run / "clips" / f"{part.name}-{index:02d}.safetensors") for index in range(part.shards)
    ]


def make_clips(folder: Path) -> None:
    """Render and encode every shard that the folder lacks."""
    world = get_world("studio")
    encode = clip_encoder(load_checkpoint("single", "fp32").codec)
    for number, part in enumerate(PARTS):
        for index in range(part.shards):
            path = folder / f"{part.name}-{index:02d}.safetensors"
            if path.is_file():
                continue
            events, leaves = KINDS[index % len(KINDS)]
            first = first_seed(number, index)
            facts: dict[str, Any] = {
                "size": (64, 64),
                "frames": FRAMES,
                "circle": 1,
                "fps": 8.0,
                "split": part.split,
            }
            clips = list(
                render_clips(world, range(first, first + SHARD), events=events, leaves=leaves, **facts)
            )
            frames = np.stack([clip.video.frames for clip in clips])
            moments = moments_of(first, part.looks)
            write_shard(
                path,
                {
                    "latents": torch.cat(
                        [encode(frames[i : i + 10]).bfloat16() for i in range(0, len(frames), 10)]
                    ),
                    "frame": frames[np.arange(len(frames))[:, None], moments],
                    "truth": np.array([truths(clip) for clip in clips], dtype="f4"),
                },
                [
                    {"seed": clip.seed, "caption": clip.captions.long, "short": clip.captions.short}
                    for clip in clips
                ],
            )
            log.info("%s: shard %d of %d", part.name, index + 1, part.shards)


@torch.no_grad()
def features_of(model: Transformer, latents: Tensor, seed: int, empty: Tensor) -> Tensor:
    """What the generator's blocks say of clips (n c t h w) at noise level SIGMA, without words: (n blocks kinds d)."""
    return torch.cat(
        [torch.stack(seen, 1).half() for _, seen in watched(model, latents, seed, empty, BLOCKS, summary)]
    )


def watched(
    model: Transformer,
    latents: Tensor,
    seed: int,
    empty: Tensor,
    blocks: tuple[int, ...],
    keep: Callable[[Tensor], Tensor],
) -> Iterator[tuple[int, list[Tensor]]]:
    """The number of each batch's first clip, and what `keep` makes of the tokens behind each of some blocks; those
    behind the last of them are not computed."""
    for start in range(0, len(latents), 20):
        x = latents[start : start + 20].float()
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + start))
        x = (1 - SIGMA) * x + SIGMA * noise
        seen: list[Tensor] = []

        def watch(number: int, tokens: Tensor, seen: list[Tensor] = seen) -> None:
            if number in blocks:
                seen.append(keep(tokens.float()))
            if number == blocks[-1]:
                raise Enough

        words = empty.expand(len(x), -1, -1)
        with suppress(Enough):
            model(x, torch.full((len(x),), 1000 * SIGMA), words, watch=watch)
        yield start, seen


class Enough(Exception):
    """All that was wanted is seen."""


def summary(tokens: Tensor) -> Tensor:
    """Tokens (b t s d) -> (b 4 d): their mean and deviation, and the means of those that move in either half of a clip.

    A token counts there by its squared distance from the mean over time of its place, so that an object's tokens
    outweigh those of the floor. Nothing says where in the picture a token lies.
    """
    moves = (tokens - tokens.mean(1, keepdim=True)).square().sum(-1, keepdim=True)  # b t s 1
    half = -(-tokens.shape[1] // 2)
    halves = [
        (tokens[:, part] * moves[:, part]).sum((1, 2)) / moves[:, part].sum((1, 2)).clamp_min(1e-6)
        for part in (slice(None, half), slice(-half, None))
    ]
    return torch.stack([tokens.mean((1, 2)), tokens.std((1, 2)), *halves], 1)


def make_features(run: Path) -> dict[str, dict[str, Any]]:
    """Per part: frame, truth, words, features of the trained and of a random generator; kept in the run's folder."""
    checkpoint = load_checkpoint("single", "fp32")
    empty = checkpoint.text.encode([""])
    states = empty.states[:1, : int(empty.lengths[0])].float()
    torch.manual_seed(0)
    blank = Transformer(checkpoint.transformer.config)
    blank.init_weights()
    randomise(blank)
    parts: dict[str, dict[str, Any]] = {}
    for number, part in enumerate(PARTS):
        shards = shards_of(run, part)
        parts[part.name] = {
            "frame": glimpses(number, torch.cat([shard["frame"] for shard in shards])),
            "truth": torch.cat([shard["truth"] for shard in shards]),
            "words": [record["short"] for shard in shards for record in shard.records],
        }
        for name, model in (("trained", checkpoint.transformer), ("random", blank)):
            if part.name == "supervisor":
                continue
            made = []
            for index, shard in enumerate(shards):
                kept = run / "features" / f"{name}-{part.name}-{index:02d}.safetensors"
                if not kept.is_file():
                    features = features_of(model, shard["latents"], 1 + SHARD * index, states)
                    write_shard(kept, {"features": features}, [{} for _ in features])
                    log.info("%s", kept.name)
                made.append(read_shard(kept)["features"])
            parts[part.name][name] = torch.cat(made)
    return parts


def randomise(model: Transformer) -> None:
    """Random weights everywhere: those that training begins with at zero would pass nothing on."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():
            if p.ndim > 1:
                p.copy_(torch.randn(p.shape, generator=generator) / p[0].numel() ** 0.5)


def rows_of(part: dict[str, Any], which: int, rng: np.random.Generator, most: float = 1.0) -> np.ndarray:
    """Clips of a part to which a property applies, in random order; `most`: the share of them that is taken."""
    rows = rng.permutation(np.flatnonzero(~torch.isnan(part["truth"][:, which]).numpy()))
    return rows[: int(most * len(rows))]


def frame_supervisor(parts: dict[str, dict[str, Any]], seed: int) -> list[Supervisor]:
    """For each of PROPERTIES, labels by a network that sees one frame and knows its moment, taught by the truth of four
    fifths of its part."""
    part = parts["supervisor"]
    rows = np.random.default_rng(seed).permutation(len(part["truth"]))[: int(0.8 * len(part["truth"]))]
    frames = part["frame"][rows]
    truth = part["truth"][rows].repeat_interleave(frames.shape[1], 0)
    says = frame_classifier(frames.flatten(0, 1).numpy(), truth, seed, epochs=8)
    return [partial(_column, says, which) for which in range(len(PROPERTIES))]


def _column(says: Score, which: int, part: dict[str, Any], rows: np.ndarray) -> Tensor:
    return says(part["frame"][rows, 0])[:, which]


def word_supervisor(part: dict[str, Any], rows: np.ndarray) -> Tensor:
    """Labels by a list of words that knows one wording of several, as a guard of prompts does."""
    return torch.tensor([float(KNOWN in part["words"][row]) for row in rows])


def experiment(
    parts: dict[str, dict[str, Any]],
    which: int,
    features: str,
    seed: int,
    supervisor: Supervisor,
    memo: dict[tuple[str, bytes], list[Score]],
) -> dict[str, dict[str, Outcome]]:
    """method -> test set -> outcome, for one property, one generator and one seed. memo: components found before."""
    rng = np.random.default_rng((seed, 1))
    part = parts["student"]
    rows = rows_of(part, which, rng, 0.9)
    weak, truth = supervisor(part, rows), part["truth"][rows, which]  # not hardened, as in the paper
    seen = [part[features][rows, :count].flatten(1).float() for count in STAGES]
    stages = memo.setdefault((features, rows.tobytes()), [])
    if not stages:
        stages += [components(values, MOST) for values in seen]
    reduced = [stage(values) for stage, values in zip(stages, seen, strict=True)]
    whole = reduced[-1]  # n k
    naive = chosen(whole, weak, ProbeConfig(), seed)
    students: dict[str, Score] = {
        "naive": reader(whole, weak, naive),
        "confident": reader(whole, weak, replace(naive, way="confident")),
        "bootstrapped": bootstrapped(reduced, weak, naive, seed),
    }
    ceiling = reader(whole, truth, chosen(whole, truth, ProbeConfig(), seed))
    outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in students}
    for test in TESTS:
        part = parts[test]
        rows = rows_of(part, which, rng)
        whole, truth = stages[-1](part[features][rows].flatten(1).float()), part["truth"][rows, which]
        for name, student in students.items():
            outcomes[name][test] = Outcome(
                weak=balanced(supervisor(part, rows), truth),
                student=balanced(student(whole), truth),
                ceiling=balanced(ceiling(whole), truth),
            )
    return outcomes


def of_seed(run: Path, parts: dict[str, dict[str, Any]], seed: int) -> dict[str, Any]:
    """property|test|generator -> method -> an outcome's values. A file keeps them, so that a stopped run goes on."""
    kept = run / f"seed-{seed}.json"
    if kept.is_file():
        return json.loads(kept.read_text())
    supervisors = frame_supervisor(parts, seed)
    asked = [(name, which, supervisors[which]) for which, name in enumerate(PROPERTIES)]
    asked.append((f"{GUARDED}, from words", PROPERTIES.index(GUARDED), word_supervisor))
    found, memo = {}, {}
    for name, which, supervisor in asked:
        for features in ("trained", "random"):
            made = experiment(parts, which, features, seed, supervisor, memo)
            for test in TESTS:
                found[f"{name}|{test}|{features}"] = {method: vars(made[method][test]) for method in METHODS}
    with whole_file(kept) as path:
        path.write_text(json.dumps(found, indent=1))
    return found


def main(run: Path, seeds: int, first: int = 0) -> None:
    (run / "clips").mkdir(parents=True, exist_ok=True)
    make_clips(run / "clips")
    parts = make_features(run)
    for name, part in parts.items():
        truth = part["truth"].numpy()
        rates = ", ".join(f"{p} {np.nanmean(truth[:, i]):.0%}" for i, p in enumerate(PROPERTIES))
        log.info("%s: %d clips; yes: %s", name, len(truth), rates)
    results: dict[str, list[dict[str, Outcome]]] = {}
    for seed in range(first, first + seeds):
        for key, row in of_seed(run, parts, seed).items():
            results.setdefault(key, []).append(
                {method: Outcome(**outcome) for method, outcome in row.items()}
            )
        log.info("seed %d done", seed)
    text = table(results)
    (run / "table.md").write_text(text)
    plot(results, run / "plot.svg")
    print(text, end="")


def tune(run: Path, names: list[str], seeds: int, first: int, settings: Settings) -> None:
    """The student whose blocks are changed by low rank, for some properties; a file for each seed and way."""
    checkpoint = load_checkpoint("single", "fp32")
    empty = checkpoint.text.encode([""])
    states = empty.states[:1, : int(empty.lengths[0])].float()
    tokens, parts = {}, {}
    for number, part in enumerate(PARTS):
        shards = shards_of(run, part)
        parts[part.name] = {
            "frame": glimpses(number, torch.cat([shard["frame"] for shard in shards])),
            "truth": torch.cat([shard["truth"] for shard in shards]),
        }
        if part.name != "supervisor":
            latents = torch.cat([shard["latents"] for shard in shards])
            tokens[part.name] = below(checkpoint.transformer, latents, SIGMA, 1, states)
    log.info("tokens below the trained blocks are computed")
    for name in names:
        one(run, name, range(first, first + seeds), settings, parts, tokens, states)


def one(
    run: Path,
    name: str,
    seeds: range,
    settings: Settings,
    parts: dict[str, dict[str, Any]],
    tokens: dict[str, Tensor],
    states: Tensor,
) -> None:
    """Teach, judge and print one property of `tune`. tokens: those below the trained blocks. states: of no words."""
    which = PROPERTIES.index(name)
    found: dict[str, list[Outcome]] = {test: [] for test in TESTS}
    for seed in seeds:
        way = f"fitted-{settings.epochs}-" if settings.fitted else ""
        kept = run / f"tuned-{way}{name.replace(' ', '-')}-{seed}.json"
        if not kept.is_file():
            supervisor = frame_supervisor(parts, seed)[which]
            rows = rows_of(parts["student"], which, np.random.default_rng((seed, 1)), 0.9)
            labels = {
                "student": supervisor(parts["student"], rows),
                "ceiling": parts["student"]["truth"][rows, which],
            }
            values: dict[str, dict[str, float]] = {test: {} for test in TESTS}
            for role, taught in labels.items():
                model = load_checkpoint("single", "fp32").transformer
                student = Student(model, summary, states, SIGMA, settings.rank, seed)
                tuned(student, tokens["student"][rows], taught, settings, seed)
                for test in TESTS:
                    judged = rows_of(parts[test], which, np.random.default_rng(0))
                    truth = parts[test]["truth"][judged, which]
                    values[test][role] = balanced(said(student, tokens[test][judged]), truth)
                    values[test]["weak"] = balanced(supervisor(parts[test], judged), truth)
            with whole_file(kept) as path:
                path.write_text(json.dumps(values, indent=1))
        for test, outcome in json.loads(kept.read_text()).items():
            found[test].append(Outcome(**outcome))
            log.info("seed %d, %s: %s", seed, TESTS[test], outcome)
    for test, outcomes in found.items():
        shares = [100 * outcome.recovered for outcome in outcomes if outcome.recovered is not None]
        cells = [
            f"{100 * float(np.mean([getattr(outcome, role) for outcome in outcomes])):.1f}"
            for role in ("weak", "student", "ceiling")
        ]
        share = "{:.0f} ± {:.0f}".format(*interval(shares)) if len(shares) > 1 else str(shares)
        print(f"| {name} | {TESTS[test]} | {' | '.join(cells)} | {share} |")


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument(
        "--run", type=Path, default=Path("runs/weak"), help="folder for clips, features and results"
    )
    ask.add_argument("--seeds", type=int, default=5)
    ask.add_argument("--first", type=int, default=0, help="The first seed.")
    ask.add_argument(
        "--tune",
        choices=PROPERTIES,
        nargs="+",
        help="Teach two blocks by low rank in place of a reader of features.",
    )
    ask.add_argument(
        "--fitted",
        type=int,
        metavar="EPOCHS",
        help="With --tune: begin with a fitted reader; so many epochs, 0 for the reader alone.",
    )
    asked = ask.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if asked.tune:
        settings = Settings()
        if asked.fitted is not None:
            settings = Settings(epochs=asked.fitted, rate=5e-4, head_rate=2e-3, fitted=True)
        tune(asked.run, asked.tune, asked.seeds, asked.first, settings)
    else:
        main(asked.run, asked.seeds, asked.first)
