"""Train the parser of the studio: pixels -> objects, event, camera.

    python recipes/parser.py render     (once; 6000 clips)
    python recipes/parser.py pixels     (what each pixel shows)
    python recipes/parser.py story      (event and camera; may run beside `pixels`)
    python recipes/parser.py join       (both into src/sorairo/evaluation/weights/studio.safetensors)
    python recipes/parser.py score      (clips of the pools that were kept back; what is taken for what)

Expected: see docs/scorecard.md.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from sorairo.evaluation.damage import damage
from sorairo.evaluation.network import CENTRE_SCALE, ParserConfig, ParserNetwork
from sorairo.evaluation.parse import read_weights, save_weights
from sorairo.evaluation.suites import facts_of
from sorairo.worlds import get_world, render_clips
from sorairo.worlds.palette import COLOURS, SHAPES
from sorairo.worlds.splits import EVENTS
from sorairo.worlds.templates import CAMERA_WORDS

WEIGHTS = Path(__file__).parents[1] / "src/sorairo/evaluation/weights/studio.safetensors"
TRAIN_SEED = 50_000_000  # far from the seeds of suites and of training data
MOST_OBJECTS = 4
CAMERAS = tuple(CAMERA_WORDS)
MIRRORED = [
    CAMERAS.index(name.replace("left", "?").replace("right", "left").replace("?", "right"))
    for name in CAMERAS
]


@dataclass(frozen=True, kw_only=True)
class Group:
    """Clips of one size (width, height) and length, for they go through the network together.

    circles: the circle of a clip by its seed, modulo eight.
    """

    size: tuple[int, int]
    frames: int
    share: float
    circles: tuple[int, ...] = (0, 0, 0, 1, 1, 1, 2, 3)
    suffix: str = ""

    @property
    def name(self) -> str:
        return f"{self.size[0]}x{self.size[1]}x{self.frames}{self.suffix}"


# Most clips come from where the default model is trained first.
GROUPS = (
    Group(size=(96, 96), frames=17, share=0.36),
    Group(size=(64, 64), frames=17, share=0.12),
    Group(size=(128, 128), frames=17, share=0.065),
    Group(size=(96, 96), frames=33, share=0.05),
    Group(size=(96, 64), frames=17, share=0.043),
    Group(size=(64, 96), frames=17, share=0.043),
    Group(size=(64, 64), frames=33, share=0.036),
    Group(
        size=(96, 96), frames=17, share=0.283, circles=(1, 1, 1, 1, 2, 2, 3, 3), suffix=" without circle 0"
    ),
)


def render(run: Path, clips: int, workers: int) -> None:
    """Fill run/pool: per group one array of frames, one of object masks and one list of facts."""
    pool = run / "pool"
    pool.mkdir(parents=True, exist_ok=True)
    world = get_world("studio")
    for number, group in enumerate(GROUPS):
        if (pool / f"{group.name}.json").exists():
            continue
        count = round(clips * group.share)
        w, h = group.size
        shape = (count, group.frames, h, w)
        frames = np.lib.format.open_memmap(pool / f"{group.name}.frames.npy", "w+", np.uint8, (*shape, 3))
        masks = np.lib.format.open_memmap(
            pool / f"{group.name}.masks.npy", "w+", np.uint8, (count, group.frames, h // 2, w // 2)
        )
        first = TRAIN_SEED + 1_000_000 * number
        facts, start = [], time.time()
        for circle in sorted(set(group.circles)):
            # One clip in eight is a held-out combination, drawn from other seeds than any suite's: the parser is a
            # measuring instrument, and must not be blind to what the model is examined on.
            for split in ("train", "heldout"):
                chosen = [
                    seed
                    for seed in range(first, first + count)
                    if group.circles[seed % 8] == circle and (seed // 8 % 8 == 0) == (split == "heldout")
                ]
                same = {
                    "size": group.size,
                    "frames": group.frames,
                    "circle": circle,
                    "split": split,
                    "masks": True,
                }
                for clip in render_clips(world, chosen, workers=workers, **same):
                    at = len(facts)
                    frames[at] = clip.video.frames
                    masks[at] = clip.masks[:, 1::2, 1::2]
                    facts.append(asdict(facts_of(clip)) | {"circle": circle})
        (pool / f"{group.name}.json").write_text(json.dumps(facts))
        print(
            f"{group.name}: {count} clips, {count * group.frames / (time.time() - start):.0f} frames/s",
            flush=True,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Pool:
    """One group's arrays; colour and shape: (n MOST_OBJECTS) indices by object; event, camera: (n,)."""

    group: Group
    frames: np.ndarray
    masks: np.ndarray
    colour: np.ndarray
    shape: np.ndarray
    event: np.ndarray
    camera: np.ndarray


def load_pools(run: Path) -> list[Pool]:
    """The pools that are rendered."""
    pools = []
    for group in GROUPS:
        path = run / "pool" / f"{group.name}.json"
        if not path.exists():
            continue
        facts = json.loads(path.read_text())
        colour, shape = np.zeros((2, len(facts), MOST_OBJECTS), dtype=np.int64)
        for row, fact in enumerate(facts):
            for column, (c, s) in enumerate(fact["objects"]):
                colour[row, column], shape[row, column] = list(COLOURS).index(c), SHAPES.index(s)
        pools.append(
            Pool(
                group=group,
                frames=np.load(path.with_name(f"{group.name}.frames.npy"), mmap_mode="r"),
                masks=np.load(path.with_name(f"{group.name}.masks.npy"), mmap_mode="r"),
                colour=colour,
                shape=shape,
                event=np.array([EVENTS.index(fact["event"]) for fact in facts]),
                camera=np.array([CAMERAS.index(fact["camera"]) for fact in facts]),
            )
        )
    return pools


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """frames b t 3 h w in -0.5..0.5; mask b t y x at half resolution: object numbers from 1; colour, shape
    (b MOST_OBJECTS) by object; event, camera: (b,).
    """

    frames: Tensor
    mask: Tensor
    colour: Tensor
    shape: Tensor
    event: Tensor
    camera: Tensor


def take(pool: Pool, rows: np.ndarray, times: np.ndarray, rng: np.random.Generator) -> Batch:
    """Clips `rows` at frames `times`, mirrored and damaged at random: generated clips are not as clean as real ones."""
    camera = torch.from_numpy(pool.camera[rows])
    clips, masks = [], []
    for i, row in enumerate(rows):
        mask = torch.from_numpy(pool.masks[row][times]).long()
        clip = damage(as_frames(pool.frames[row][times]), rng)
        if rng.random() < 0.5:
            clip, mask, camera[i] = clip.flip(-1), mask.flip(-1), MIRRORED[int(camera[i])]
        clips.append(clip)
        masks.append(mask)
    return Batch(
        frames=torch.stack(clips),
        mask=torch.stack(masks),
        colour=torch.from_numpy(pool.colour[rows]),
        shape=torch.from_numpy(pool.shape[rows]),
        event=torch.from_numpy(pool.event[rows]),
        camera=camera,
    )


def as_frames(frames: np.ndarray) -> Tensor:
    """uint8 t h w 3 -> t 3 h w in -0.5..0.5."""
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 255 - 0.5


def as_bytes(frames: Tensor) -> np.ndarray:
    """The way back."""
    return ((frames + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()


def pixel_losses(network: ParserNetwork, batch: Batch) -> dict[str, Tensor]:
    """Is it an object, of which colour and shape, and where is its middle; an object counts by its width.

    Shape is the slow one: with equal weights the others drown it for hundreds of steps.
    """
    object_, colour, shape, centre = network.read(batch.frames.flatten(0, 1))
    b, t = batch.mask.shape[:2]
    mask = batch.mask.flatten(0, 1)  # n y x
    inside = mask > 0
    at = inside.nonzero()  # p 3: n y x
    number = mask[inside] - 1
    key = at[:, 0] * MOST_OBJECTS + number
    area = torch.bincount(key, minlength=b * t * MOST_OBJECTS).float()
    middle = torch.stack(
        [
            torch.bincount(key, weights=at[:, k].float(), minlength=len(area)) / area.clamp(min=1)
            for k in (2, 1)
        ],
        dim=1,
    )
    offset = middle[key] - at[:, [2, 1]]
    weight = area[key].rsqrt()
    weight = weight / weight.sum()
    clip = at[:, 0] // t
    gap = F.smooth_l1_loss(centre[inside] / CENTRE_SCALE, offset / CENTRE_SCALE, reduction="none").sum(dim=1)
    right = shape[inside].argmax(1) == batch.shape[clip, number]
    return {
        "object": 3 * F.binary_cross_entropy_with_logits(object_, inside.float()),
        "colour": (
            F.cross_entropy(colour[inside], batch.colour[clip, number], reduction="none") * weight
        ).sum(),
        "shape": 4
        * (F.cross_entropy(shape[inside], batch.shape[clip, number], reduction="none") * weight).sum(),
        "centre": 3 * (gap * weight).sum(),
        "shape right": (right * weight).sum().detach(),
    }


def story_losses(network: ParserNetwork, batch: Batch) -> dict[str, Tensor]:
    """Which event, which camera; and coarsely where objects are, which is what both are about."""
    event, camera, object_ = network.story(batch.frames)
    h, w = object_.shape[-2:]
    inside = F.adaptive_avg_pool2d((batch.mask > 0).float(), (h, w))
    return {
        "event": F.cross_entropy(event, batch.event),
        "camera": F.cross_entropy(camera, batch.camera),
        "object": F.binary_cross_entropy_with_logits(object_, inside),
        "event right": (event.argmax(1) == batch.event).float().mean(),
        "camera right": (camera.argmax(1) == batch.camera).float().mean(),
    }


def train(
    run: Path, part: str, steps: int, pixels: int, rate: float, minutes: float, resume: bool, seed: int
) -> None:
    """AdamW, one cycle. part: pixels or story; they share nothing and may train side by side.

    pixels: how many of them a step sees, so that small clips come in larger batches. minutes: the cycle ends by then
    even if it has had fewer steps. resume: go on from the weights that an earlier run left; then give
    another seed, or it meets the same clips in the same order.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    pools = load_pools(run)
    config = ParserConfig(colours=tuple(COLOURS), shapes=SHAPES, events=EVENTS, cameras=CAMERAS)
    network = ParserNetwork(config).train()
    network.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    losses = pixel_losses if part == "pixels" else story_losses
    learned = getattr(network, part)
    if resume:
        take_over(network, run, part)
    optimizer = torch.optim.AdamW(learned.parameters(), lr=rate, weight_decay=0.02, betas=(0.9, 0.98))
    begun, step, done = time.monotonic(), 0, 0.0  # done: the share of the run that is over
    orders = [np.zeros(0, dtype=int) for _ in GROUPS]
    totals: dict[str, float] = {}
    while done < 1:
        step += 1
        done = max(step / steps, (time.monotonic() - begun) / 60 / minutes)
        warm = min(1.0, step / 40)
        optimizer.param_groups[0]["lr"] = rate * warm * (0.5 + 0.5 * math.cos(math.pi * min(done, 1.0)))
        if step % 50 == 0 and len(pools) < len(GROUPS):
            pools = load_pools(run)  # rendering may still be under way
        weights = np.array([len(pool.event) for pool in pools], dtype=float)
        which = int(rng.choice(len(pools), p=weights / weights.sum()))
        pool = pools[which]
        t = pool.group.frames
        times = (
            np.sort(rng.choice(t, 2, replace=False)) if part == "pixels" else np.arange(rng.integers(2), t, 2)
        )
        w, h = pool.group.size if part == "pixels" else (64, 64)
        count = max(4, round(pixels / (w * h * len(times))))
        if len(orders[which]) < count:
            orders[which] = rng.permutation(np.flatnonzero(~kept_back(len(pool.event))))
        rows, orders[which] = np.sort(orders[which][:count]), orders[which][count:]
        batch = take(pool, rows, times, rng)
        with torch.autocast("cpu", torch.bfloat16):
            values = losses(network, batch)
        loss = torch.stack([value for name, value in values.items() if "right" not in name]).sum()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned.parameters(), 2.0)
        optimizer.step()
        for name, value in values.items():
            totals[name] = totals.get(name, 0.0) + float(value.detach())
        if step % 25 == 0:
            line = "  ".join(f"{name} {value / 25:.3f}" for name, value in totals.items())
            print(
                f"{step:5d}/{steps}  {line}  {time.process_time() / step:.2f} core seconds a step", flush=True
            )
            totals = {}
        if step % 50 == 0 or done >= 1:
            save_weights(network, run / f"{part}.safetensors")


def kept_back(count: int) -> np.ndarray:
    """Which rows of a pool are never trained on, (count,) bool: every tenth."""
    return np.arange(count) % 10 == 7


def take_over(network: ParserNetwork, run: Path, part: str) -> None:
    """Load one part as its own run left it."""
    tensors = read_weights(run / f"{part}.safetensors")[1]
    network.load_state_dict({n: t for n, t in tensors.items() if n.startswith(part)}, strict=False)


def join(run: Path) -> None:
    """Both parts into the file that ships."""
    network = ParserNetwork(read_weights(run / "pixels.safetensors")[0])
    take_over(network, run, "pixels")
    take_over(network, run, "story")
    WEIGHTS.parent.mkdir(exist_ok=True)
    save_weights(network, WEIGHTS)


def score(run: Path, weights: Path | None, damaged: bool) -> None:
    """How often the parser is right on clips of the pools that were kept back, and what it takes for what.

    damaged: every clip is damaged first, as in training.
    """
    from collections import Counter

    from sorairo.evaluation.judge import RIGHT, judge
    from sorairo.evaluation.parse import load_parser
    from sorairo.evaluation.suites import Facts
    from sorairo.types import Video

    parser = load_parser(weights)
    mistaken: Counter[str] = Counter()
    rows: dict[str, list[dict[str, float]]] = {}
    for pool in load_pools(run):
        known = json.loads((run / "pool" / f"{pool.group.name}.json").read_text())
        for row in np.flatnonzero(kept_back(len(known))):
            fact = known[row] | {"objects": tuple(tuple(pair) for pair in known[row]["objects"])}
            circle, frames = fact.pop("circle"), np.array(pool.frames[row])
            if damaged:
                frames = as_bytes(damage(as_frames(frames), np.random.default_rng(row), chance=1.0))
            facts, parsed = Facts(**fact), parser(Video(frames=frames, fps=8.0))
            right = judge(parsed, facts)
            for name in (pool.group.name, f"circle {circle}", f"circle {circle}, {pool.group.name}", "all"):
                rows.setdefault(name, []).append(right)
            truth, names = Counter(facts.objects), Counter(parsed.names())
            if truth != names:
                what = f"{_words(truth - names)} as {_words(names - truth)}"
                mistaken[f"objects: {what}"] += 1
                print(f"{pool.group.name} {row} {facts.event} {facts.camera}: {what}", flush=True)
            if parsed.event != facts.event:
                mistaken[f"event: {facts.event} as {parsed.event}"] += 1
            if parsed.camera != facts.camera:
                mistaken[f"camera: {facts.camera} as {parsed.camera}"] += 1
    for name, judged in sorted(rows.items()):
        line = "  ".join(f"{question} {np.mean([j[question] for j in judged]):.1%}" for question in RIGHT)
        print(f"{name} ({len(judged)} clips): {line}")
    for what, times in mistaken.most_common(40):
        print(f"{times:4d}  {what}")


def _words(objects: dict[tuple[str, str], int]) -> str:
    return ", ".join(f"{c} {s}" for c, s in sorted(objects)) or "nothing"


def main() -> None:
    """The command line of this recipe."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("what", choices=("render", "pixels", "story", "join", "score"))
    options.add_argument("--run", type=Path, default=Path("runs/parser"))
    options.add_argument("--clips", type=int, default=6000)
    options.add_argument("--steps", type=int, default=1200)
    options.add_argument("--pixels", type=int, default=350_000)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--workers", type=int, default=2)
    options.add_argument("--minutes", type=float, default=math.inf, help="train no longer than this")
    options.add_argument("--resume", action="store_true", help="go on from the weights of an earlier run")
    options.add_argument("--seed", type=int, default=0, help="another order of clips, for going on")
    options.add_argument("--rate", type=float, default=3e-3, help="highest learning rate")
    options.add_argument("--weights", type=Path, help="score these in place of the package's")
    options.add_argument("--damaged", action="store_true", help="score clips that were blurred and so on")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    match chosen.what:
        case "render":
            render(chosen.run, chosen.clips, chosen.workers)
        case "pixels" | "story":
            train(
                chosen.run,
                chosen.what,
                chosen.steps,
                chosen.pixels,
                chosen.rate,
                chosen.minutes,
                chosen.resume,
                chosen.seed,
            )
        case "join":
            join(chosen.run)
        case "score":
            score(chosen.run, chosen.weights, chosen.damaged)


if __name__ == "__main__":
    main()
