"""Weak to strong: can a supervisor that sees one frame teach the generator's own features what happens in a clip?

Command:   python recipes/weak_to_strong.py --run runs/weak
Needs:     pip install "sorairo[worlds,eval]"
Makes:     runs/weak/clips (rendered once), features, results.json, table.md, plot.svg
Time:      10 minutes of rendering and 10 of features on two cores, then 5 minutes
Expects:   docs/weak-to-strong.md has the table

Source: Burns et al. 2023 (arXiv 2312.09390). Four properties that the simulator knows; a clip's truth is never shown to
the student. A generator of the same shape with random weights is the control.
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.data.encoders import clip_encoder
from sorairo.data.shards import read_shard, write_shard
from sorairo.evaluation.supervision import (
    Outcome,
    ProbeConfig,
    balanced,
    bootstrapped,
    frame_classifier,
    probe,
    selected,
)
from sorairo.transformer.model import Transformer
from sorairo.worlds import WorldClip, get_world, render_clips

log = logging.getLogger("weak_to_strong")
PROPERTIES = ("goes left", "collides", "vanishes", "ends slower")
GUARDED, KNOWN = "collides", "rolling into"
"""What a guard of frames is to find, and the one wording that its supervisor knows (not "sliding into")."""
Supervisor = Callable[[dict[str, Any], np.ndarray], Tensor]  # (part, rows n) -> probability of "yes" (n)
SHARD = 100
FIRST_SEED = 700_000
SIGMA = 0.3  # of the noise on the clips that the generator reads
BLOCKS = (1, 3, 5)  # whose tokens are read, from 0


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


def make_clips(folder: Path) -> None:
    """Render and encode every shard that the folder lacks."""
    world = get_world("studio")
    encode = clip_encoder(load_checkpoint("default", "fp32").codec)
    for number, part in enumerate(PARTS):
        for index in range(part.shards):
            path = folder / f"{part.name}-{index:02d}.safetensors"
            if path.is_file():
                continue
            events, leaves = KINDS[index % len(KINDS)]
            first = FIRST_SEED + 10_000 * number + SHARD * index
            facts: dict[str, Any] = {
                "size": (64, 64),
                "frames": 17,
                "circle": 1,
                "fps": 8.0,
                "split": part.split,
            }
            clips = list(
                render_clips(world, range(first, first + SHARD), events=events, leaves=leaves, **facts)
            )
            frames = np.stack([clip.video.frames for clip in clips])
            rng = np.random.default_rng(first)
            moments = rng.permuted(np.tile(np.arange(frames.shape[1]), (len(clips), 1)), axis=1)
            write_shard(
                path,
                {
                    "latents": torch.cat(
                        [encode(frames[i : i + 10]).bfloat16() for i in range(0, len(frames), 10)]
                    ),
                    "frame": frames[np.arange(len(frames))[:, None], moments[:, : part.looks]],
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
    """What the generator's blocks say of clips (n c t h w) at noise level SIGMA, without words: (n blocks d').

    d': see `summary`.
    """
    made = []
    for start in range(0, len(latents), 20):
        x = latents[start : start + 20].float()
        noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(seed + start))
        x = (1 - SIGMA) * x + SIGMA * noise
        seen: list[Tensor] = []

        def keep(number: int, tokens: Tensor, seen: list[Tensor] = seen) -> None:
            if number in BLOCKS:
                seen.append(summary(tokens.float()))

        words = empty.expand(len(x), -1, -1)
        model(x, torch.full((len(x),), 1000 * SIGMA), words, watch=keep)
        made.append(torch.stack(seen, 1))
    return torch.cat(made)


def summary(tokens: Tensor) -> Tensor:
    """Tokens (b t s d) -> (b d'): mean and deviation over a clip, its first and its last third, then means by place.

    Places: a quarter of the picture each, in the first, the middle and the last third of the frames.
    """
    third = -(-tokens.shape[1] // 3)
    parts = [tokens.flatten(1, 2), tokens[:, :third].flatten(1, 2), tokens[:, -third:].flatten(1, 2)]
    whole = torch.cat([torch.cat([part.mean(1), part.std(1)], -1) for part in parts], -1)
    side = round(tokens.shape[2] ** 0.5)
    b, t, _, d = tokens.shape
    grid = tokens.view(b, t, side, side, d).permute(0, 4, 1, 2, 3)  # b d t y x
    return torch.cat([whole, F.adaptive_avg_pool3d(grid, (3, 2, 2)).flatten(1)], -1)


def make_features(run: Path) -> dict[str, dict[str, Any]]:
    """Per part: frame, truth, words, features of the trained and of a random generator; kept in the run's folder."""
    checkpoint = load_checkpoint("default", "fp32")
    empty = checkpoint.text.encode([""])
    states = empty.states[:1, : int(empty.lengths[0])].float()
    torch.manual_seed(0)
    blank = Transformer(checkpoint.transformer.config)
    blank.init_weights()
    randomise(blank)
    parts: dict[str, dict[str, Any]] = {}
    for part in PARTS:
        shards = [
            read_shard(run / "clips" / f"{part.name}-{index:02d}.safetensors") for index in range(part.shards)
        ]
        kept = run / f"features-{part.name}.safetensors"
        if not kept.is_file():
            latents = torch.cat([shard["latents"] for shard in shards])
            made = {
                "trained": features_of(checkpoint.transformer, latents, 1, states),
                "random": features_of(blank, latents, 1, states),
            }
            write_shard(kept, made, [{} for _ in latents])
            log.info("features of %s", part.name)
        features = read_shard(kept)
        parts[part.name] = {
            "frame": torch.cat([shard["frame"] for shard in shards]),
            "truth": torch.cat([shard["truth"] for shard in shards]),
            "words": [record["short"] for shard in shards for record in shard.records],
            "trained": features["trained"],
            "random": features["random"],
        }
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


def frame_supervisor(parts: dict[str, dict[str, Any]], which: int, seed: int) -> Supervisor:
    """Labels by a network that sees one frame of a clip, taught by the truth of four fifths of its part."""
    part = parts["supervisor"]
    rows = rows_of(part, which, np.random.default_rng((which, seed)), 0.8)
    frames = part["frame"][rows]
    truth = part["truth"][rows, which].repeat_interleave(frames.shape[1])
    says = frame_classifier(frames.flatten(0, 1).numpy(), truth, seed, epochs=12)
    return lambda part, rows: says(part["frame"][rows, 0])


def word_supervisor(part: dict[str, Any], rows: np.ndarray) -> Tensor:
    """Labels by a list of words that knows one wording of several, as a guard of prompts does."""
    return torch.tensor([float(KNOWN in part["words"][row]) for row in rows])


def experiment(
    parts: dict[str, dict[str, Any]], which: int, features: str, seed: int, supervisor: Supervisor
) -> dict[str, dict[str, Outcome]]:
    """method -> test set -> outcome, for one property, one generator and one seed."""
    rng = np.random.default_rng((which, seed, 1))
    part = parts["student"]
    rows = rows_of(part, which, rng, 0.9)
    weak, truth = supervisor(part, rows), part["truth"][rows, which]  # not hardened, as in the paper
    seen = part[features][rows]
    whole = seen.flatten(1)
    chosen = selected(whole, weak, ProbeConfig(), seed)
    students = {
        "naive": probe(whole, weak, chosen),
        "confident": probe(whole, weak, replace(chosen, way="confident")),
        "bootstrapped": bootstrapped([seen[:, 0], seen[:, :2].flatten(1), whole], weak, chosen, seed),
    }
    ceiling = probe(whole, truth, selected(whole, truth, ProbeConfig(), seed))
    outcomes: dict[str, dict[str, Outcome]] = {name: {} for name in students}
    for test in ("test", "combinations"):
        part = parts[test]
        rows = rows_of(part, which, rng)
        whole, truth = part[features][rows].flatten(1), part["truth"][rows, which]
        for name, student in students.items():
            outcomes[name][test] = Outcome(
                weak=balanced(supervisor(part, rows), truth),
                student=balanced(student(whole), truth),
                ceiling=balanced(ceiling(whole), truth),
            )
    return outcomes


def interval(values: list[float]) -> tuple[float, float]:
    """Mean and the half width of a 95% interval, by Student's t over seeds."""
    from scipy.stats import t

    mean = float(np.mean(values))
    return mean, float(t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5)


METHODS = {"naive": "#2563eb", "confident": "#16a34a", "bootstrapped": "#d97706"}
TESTS = {"test": "new clips", "combinations": "held-out combinations"}


def table(results: dict[str, Any]) -> str:
    """A row for each property, test set and generator; means over seeds, intervals of 95%."""
    lines = [
        "| property | judged on | generator | weak | naive | confident | bootstrapped | ceiling | gap recovered: naive "
        "| confident | bootstrapped |",
        "|---|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for key, rows in results.items():
        name, test, features = key.split("|")
        cells = [f"{100 * np.mean([row['naive'].weak for row in rows]):.1f}"]
        cells += [f"{100 * np.mean([row[method].student for row in rows]):.1f}" for method in METHODS]
        cells.append(f"{100 * np.mean([row['naive'].ceiling for row in rows]):.1f}")
        for method in METHODS:
            shares = [row[method].recovered for row in rows]
            known = [100 * share for share in shares if share is not None]
            if len(known) < len(shares) or len(known) < 2:
                cells.append("undefined")
            else:
                mean, half = interval(known)
                cells.append(f"{mean:.0f} ± {half:.0f}")
        lines.append(f"| {name} | {TESTS[test]} | {features} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def plot(results: dict[str, Any], path: Path) -> None:
    """Balanced accuracies of supervisor, students and ceiling, for the trained generator; one row a property."""
    rows = [key for key in results if key.endswith("|trained")]
    left, width, step, top = 210, 420, 34, 46

    def x_of(value: float) -> float:
        return left + width * (value - 0.45) / 0.55

    height = top + step * len(rows) + 60
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{left + width + 40}" height="{height}" ']
    parts.append('font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>')
    for tick in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0):
        x = x_of(tick)
        parts.append(f'<path d="M{x} {top - 10}V{height - 50}" stroke="#e5e7eb"/>')
        parts.append(f'<text x="{x}" y="{height - 34}" text-anchor="middle">{tick:.0%}</text>')
    marks = {"weak supervisor": "#6b7280", **METHODS, "ceiling": "#111827"}
    for index, (name, colour) in enumerate(marks.items()):
        x = left + 100 * index - 60
        parts.append(
            f'<circle cx="{x}" cy="18" r="5" fill="{colour}"/><text x="{x + 9}" y="22">{name}</text>'
        )
    for index, key in enumerate(rows):
        name, test, _ = key.split("|")
        y = top + step * index + 12
        parts.append(f'<text x="{left - 12}" y="{y + 4}" text-anchor="end">{name}, {TESTS[test]}</text>')
        found = results[key]
        values = {
            "weak supervisor": [row["naive"].weak for row in found],
            **{method: [row[method].student for row in found] for method in METHODS},
            "ceiling": [row["naive"].ceiling for row in found],
        }
        weak, best = x_of(float(np.mean(values["weak supervisor"]))), x_of(float(np.mean(values["ceiling"])))
        parts.append(f'<path d="M{weak} {y}H{best}" stroke="#d1d5db" stroke-width="6"/>')
        for mark, seen in values.items():
            mean, half = interval(seen)
            a, b = x_of(mean - half), x_of(mean + half)
            parts.append(f'<path d="M{a:.1f} {y}H{b:.1f}" stroke="{marks[mark]}" opacity="0.5"/>')
            parts.append(
                f'<circle cx="{x_of(mean):.1f}" cy="{y}" r="5" fill="{marks[mark]}" opacity="0.85"/>'
            )
    middle = left + width / 2
    parts.append(f'<text x="{middle}" y="{height - 12}" text-anchor="middle">balanced accuracy</text>')
    path.write_text("".join(parts) + "</svg>\n")


def main(run: Path, seeds: int) -> None:
    (run / "clips").mkdir(parents=True, exist_ok=True)
    make_clips(run / "clips")
    parts = make_features(run)
    for name, part in parts.items():
        truth = part["truth"].numpy()
        rates = ", ".join(f"{p} {np.nanmean(truth[:, i]):.0%}" for i, p in enumerate(PROPERTIES))
        log.info("%s: %d clips; yes: %s", name, len(truth), rates)
    results: dict[str, list[dict[str, Outcome]]] = {}
    for seed in range(seeds):
        asked = [(name, which, frame_supervisor(parts, which, seed)) for which, name in enumerate(PROPERTIES)]
        asked.append((f"{GUARDED}, from words", PROPERTIES.index(GUARDED), word_supervisor))
        for name, which, supervisor in asked:
            for features in ("trained", "random"):
                made = experiment(parts, which, features, seed, supervisor)
                for test in TESTS:
                    row = {method: made[method][test] for method in METHODS}
                    results.setdefault(f"{name}|{test}|{features}", []).append(row)
        log.info("seed %d done", seed)
    plain = {key: [{m: vars(o) for m, o in row.items()} for row in rows] for key, rows in results.items()}
    (run / "results.json").write_text(json.dumps(plain, indent=1))
    text = table(results)
    (run / "table.md").write_text(text)
    plot(results, run / "plot.svg")
    print(text, end="")


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument(
        "--run", type=Path, default=Path("runs/weak"), help="folder for clips, features and results"
    )
    ask.add_argument("--seeds", type=int, default=5)
    asked = ask.parse_args()
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    main(asked.run, asked.seeds)
