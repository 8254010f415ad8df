"""Ways to train the default model, side by side at its true size: python bench/bakeoff.py --arms plain local

--latents: folders of shards with maps, as `sorairo train default --data-only` makes them; those of 17 frames of 64 px
are used, with --mix all of them. Every arm sees the same batches on one thread for the same processor minutes, while
its rate falls to zero, so the more costly arm gets fewer steps. Start two commands to train two arms at a time. The
same command again continues an arm that was cut off (a checkpoint every four minutes).

Then each arm makes clips for held-out prompts of a suite that is not the scorecard's, and the parser reads them. A
lower velocity error with worse samples is common, so samples decide.
"""

from __future__ import annotations

import argparse
import json
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import torch

import sorairo
from sorairo.checkpoints.folder import find_folder, load_checkpoint, read_info
from sorairo.checkpoints.save import save_checkpoint
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.evaluation.evaluate import evaluate
from sorairo.evaluation.parse import load_parser
from sorairo.evaluation.suites import Prompt, Suite
from sorairo.flow.times import TimesConfig
from sorairo.text.encoder import TextEncoder
from sorairo.training.objectives.alignment import AlignmentConfig
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.optim.ema import Ema
from sorairo.training.optim.optimizer import OptimConfig, Optimizer
from sorairo.training.state import RunState, latest_state, save_state
from sorairo.training.warm_start import warm_start
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import Video
from sorairo.video import contact_sheet

log = logging.getLogger("bakeoff")
QUESTIONS = ("objects", "count", "colours", "shapes", "event", "camera")
SHIFT = 4.0  # of the sampler, as the default model has it
SAVE_EVERY = 240.0  # seconds


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One way to train. start: the model whose weights it begins with; empty: none. rate: of AdamW, Muon's is twice."""

    start: str = ""
    local: int = 0
    predicts: Literal["velocity", "data"] = "velocity"
    rate: float = 1.5e-3


ARMS = {
    "plain": Arm(),
    "local": Arm(local=2),
    "data": Arm(predicts="data"),
    "local-data": Arm(local=2, predicts="data"),
    "warm": Arm(start="single", rate=0.5e-3),
    "warm-local": Arm(start="single", local=2, rate=0.5e-3),
}


def links(folders: Sequence[Path], into: Path, mix: bool) -> Path:
    """A folder of links to the shards of 17 frames of 64x64, or to all; later shards join at the next call."""
    into.mkdir(parents=True, exist_ok=True)
    for folder in folders:
        for path in sorted(folder.glob("*.safetensors")):
            link = into / f"{folder.name}-{path.name}"
            if link.exists():
                continue
            info = read_shard(path).info
            if mix or (tuple(info["size"]), info["frames"]) == ((64, 64), 17):
                link.symlink_to(path.resolve())
    return into


def objective_of(arm: Arm, shards: Path, lists: Path, text: TextEncoder) -> Diffusion:
    """What is trained, the same for all but what the arm names."""
    torch.manual_seed(0)
    transformer = Transformer(replace(PRESETS["default"], local=arm.local))
    transformer.init_weights()
    empty = text.encode([""])
    loader = Loader(
        shards,
        lists,
        LoaderConfig(tokens=2592, maps=True, stills=0.1, captions=(0.25, 0.15, 0.3, 0.3), refresh=25),
        empty.states[0, : int(empty.lengths[0])],
    )
    times = TimesConfig(per_frame=0.2, known=0.2, shift=2.0)
    config = DiffusionConfig(times=times, align=AlignmentConfig(block=3), predicts=arm.predicts)
    objective = Diffusion(transformer, loader, config, sampler=lambda *_: {}, exporter=lambda *_: None)
    if arm.start:
        warm_start(objective, arm.start)
    return objective


def train(arm: Arm, objective: Diffusion, folder: Path, seconds: float, join: Callable[[], object]) -> int:
    """Train for that many processor seconds in all, from the last checkpoint if there is one; returns the steps. join:
    called now and then, to bring in new shards."""
    named = [(f"{m}.{n}", p) for m, net in objective.models.items() for n, p in net.named_parameters()]
    optimizer = Optimizer(named, OptimConfig(lr=arm.rate, muon_lr=2 * arm.rate), torch.float32)
    ema, step, before = Ema(optimizer.weights, 0.998), 0, 0.0
    state = latest_state(folder / "checkpoints")
    if state:
        optimizer.load(state.tensors)
        ema.load(state.tensors)
        step, before = state.step, state.seconds
    began, saved, mean = time.process_time(), time.monotonic(), float("nan")

    def save() -> None:
        tensors = optimizer.state() | ema.state()
        save_state(folder / "checkpoints", RunState(step=step, seconds=spent, tensors=tensors, extra={}))

    while (spent := before + time.process_time() - began) < seconds:
        loss, parts = objective.loss(objective.batch(step), step)
        loss.backward()
        optimizer.step(min(1.0, (step + 1) / 50) * (1 - spent / seconds))
        ema.update(optimizer.weights, step)
        value = float(parts.get("velocity", loss.detach()))
        mean = value if step == 0 else mean + 0.02 * (value - mean) if mean == mean else value
        step += 1
        if step % 10 == 0:
            join()
            log.info(
                "%s: step %d, %.0f of %.0f s, velocity error %.4f", folder.name, step, spent, seconds, mean
            )
        if time.monotonic() - saved > SAVE_EVERY:
            save()
            saved = time.monotonic()
    save()
    with torch.no_grad():
        for name, p in objective.transformer.named_parameters():
            p.copy_(ema.average[f"transformer.{name}"])
    return step


def export(objective: Diffusion, folder: Path, predicts: Literal["velocity", "data"]) -> None:
    """The averaged weights as a model's folder, with the codec and the words of the one that ships."""
    default = find_folder("single")
    info = replace(read_info(default), name=folder.parent.name, scorecard={})
    codec = load_checkpoint("single", "fp32").codec
    save_checkpoint(folder, codec, objective.transformer, default, info, shift=SHIFT, predicts=predicts)


def score(model_folder: Path, suite: Suite, out: Path) -> dict[str, list[float]]:
    """Held-out prompts -> clips -> what the parser reads; a contact sheet of the first eight beside it."""
    model = sorairo.load(model_folder)

    def clips(prompts: Sequence[Prompt]) -> Iterable[Video]:
        for p in prompts:
            yield model.generate(p.text, size=p.size, frames=p.frames, seed=p.seed).video

    made = evaluate(suite, load_parser(), model_fn=clips, distances=False)
    contact_sheet(
        made.first["model"], [p.text for p in made.prompts[:8]], out / "first.png", columns=2, frames_per=6
    )
    wanted = [q for q in (*QUESTIONS, "motion") if q in made.scores]
    rows = {
        column: [made.scores[q][column].value if column in made.scores[q] else float("nan") for q in wanted]
        for column in ("model", "real")
    }
    (out / "scores.json").write_text(
        json.dumps({"questions": wanted, "suite": asdict(suite), **rows}, indent=2)
    )
    return {"questions": wanted, **rows}  # type: ignore[dict-item]


def main(
    latents: list[Path],
    run: Path,
    arms: list[str],
    minutes: float,
    prompts: int,
    seed: int,
    circle: int,
    mix: bool,
) -> None:
    torch.set_num_threads(1)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    text = load_checkpoint("single", "fp32").text
    assert isinstance(text, TextEncoder)
    suite = Suite(circle=circle, count=prompts, size=(64, 64), seed=seed)
    print(
        f"{minutes:g} processor minutes each, one thread; {prompts} held-out prompts of suite {seed}, circle {circle}"
    )
    for name in arms:
        folder = run / name
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "export").is_dir():
            join = partial(links, latents, folder / "shards", mix)
            objective = objective_of(ARMS[name], join(), folder / "lists", text)
            steps = train(ARMS[name], objective, folder, 60 * minutes, join)
            export(objective, folder / "export", ARMS[name].predicts)
            log.info("%s: %d steps", name, steps)
        scores = score(folder / "export", suite, folder)
        for column, values in scores.items():
            cells = " | ".join(v if isinstance(v, str) else f"{v:.3f}" for v in values)
            print(f"| {name} {column} | {cells} |", flush=True)


if __name__ == "__main__":
    ask = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    ask.add_argument("--latents", nargs="+", type=Path, default=[Path("runs/latents")])
    ask.add_argument("--run", type=Path, default=Path("runs/bakeoff"))
    ask.add_argument("--arms", nargs="+", choices=ARMS, default=list(ARMS))
    ask.add_argument("--minutes", type=float, default=60.0)
    ask.add_argument("--prompts", type=int, default=96)
    ask.add_argument("--seed", type=int, default=31)
    ask.add_argument("--circle", type=int, default=0)
    ask.add_argument("--mix", action="store_true")
    main(**vars(ask.parse_args()))
