"""What a scene does for a picture: clips with the scene drawn from the words, with the world's own, and without.

    python bench/scene.py [--model scenes] [--circle 1] [--clips 24] [--seed 77] [--out runs/bench-scene]

First the drawn scenes alone: are the objects those that the words name? Then clips of each way, the same prompts and
seeds, scored by the parser. Writes scene.json, and a sheet: the drawn boxes, the clip along them, the world's own clip.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from sorairo.checkpoints.folder import Checkpoint, load_checkpoint
from sorairo.data.tracks import tracks_of
from sorairo.evaluation.evaluate import evaluate
from sorairo.evaluation.parse import load_parser
from sorairo.evaluation.suites import Prompt, Suite, facts_of, prompt_of
from sorairo.generation.generate import generate
from sorairo.generation.scenes import drawn_tracks
from sorairo.scenes.model import SceneModel
from sorairo.scenes.picture import draw_moment
from sorairo.scenes.tracks import Tracks
from sorairo.tasks.ask import Ask
from sorairo.tasks.scene import COLOURS, SHAPES
from sorairo.tasks.text_to_video import text_to_video
from sorairo.types import Video
from sorairo.worlds import WorldClip

QUESTIONS = ("count", "colours", "shapes", "objects", "event", "camera", "motion")
SHOWN = (0, 4, 8, 12, 16)  # frames of a row


class Given(SceneModel):
    """A scene model whose tracks are given, not drawn."""

    given: Tracks

    def tracks(self, *_: object) -> Tracks:
        return self.given


def names_of(tracks: Tracks) -> list[tuple[str, str]]:
    """Colour and shape of every object, sorted."""
    rows = zip(tracks.colour[0].tolist(), tracks.shape[0].tolist(), tracks.there[0].tolist(), strict=True)
    return sorted((COLOURS[colour], SHAPES[shape]) for colour, shape, there in rows if there)


def drawn(model: Checkpoint, suite: Suite) -> tuple[dict[str, float], list[Tracks]]:
    """(share of the prompts whose scene has the right objects, their number, colours, shapes; the scenes)."""
    right: dict[str, list[bool]] = {name: [] for name in ("count", "colours", "shapes", "objects")}
    scenes = []
    for clip in suite.clips():
        prompt = prompt_of(clip, suite)
        scenes.append(drawn_tracks(model, prompt.text, suite.frames, prompt.seed))
        found, asked = names_of(scenes[-1]), sorted(facts_of(clip).objects)
        right["count"].append(len(found) == len(asked))
        right["colours"].append(sorted(c for c, _ in found) == sorted(c for c, _ in asked))
        right["shapes"].append(sorted(s for _, s in found) == sorted(s for _, s in asked))
        right["objects"].append(found == asked)
    return {name: float(np.mean(values)) for name, values in right.items()}, scenes


def true_tracks(clip: WorldClip, factor: int) -> Tracks:
    """The tracks of a clip, at the rate of latents of this factor."""
    return tracks_of(clip, 1 + (len(clip.video) - 1) // factor)


def maker(model: Checkpoint, suite: Suite, way: str) -> Callable[[Sequence[Prompt]], Iterator[Video]]:
    """prompts -> clips, with the scene of that way."""
    given = None
    if way == "none":
        model = replace(model, scene=None)
    elif way == "true":
        assert model.scene is not None
        given = Given(model.scene.config)
        given.load_state_dict(model.scene.state_dict())
        model = replace(model, scene=given.eval().requires_grad_(False))

    def make(prompts: Sequence[Prompt]) -> Iterator[Video]:
        for prompt in prompts:
            if given is not None:
                given.given = true_tracks(suite.clip(prompt.seed), model.codec.config.time_factor)
            ask = Ask(size=prompt.size, frames=prompt.frames, seed=prompt.seed)
            plan = replace(text_to_video(prompt.text, model.abilities, ask), fps=prompt.fps)
            yield generate(plan, model)[0].video

    return make


def sheet(scenes: list[Tracks], made: list[Video], real: list[Video], factor: int, path: Path) -> None:
    """A row for each prompt: its scene, its clip, the world's."""
    rows = []
    for tracks, clip, world in zip(scenes, made, real, strict=False):
        side = clip.frames.shape[1]
        plan = [np.asarray(draw_moment(tracks, -(-frame // factor), side)) for frame in SHOWN]
        rows.append(np.concatenate([*plan, *clip.frames[list(SHOWN)], *world.frames[list(SHOWN)]], 1))
    Image.fromarray(np.concatenate(rows, 0)).save(path)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="default")
    parser.add_argument("--circle", type=int, default=1)
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--seed", type=int, default=77)
    parser.add_argument(
        "--ways", nargs="+", default=["drawn", "true", "none"], choices=["drawn", "true", "none"]
    )
    parser.add_argument("--out", type=Path, default=Path("runs/bench-scene"))
    asked = parser.parse_args()
    torch.set_grad_enabled(False)
    model = load_checkpoint(asked.model, "fp32")
    if model.scene is None and asked.ways != ["none"]:
        parser.error(f"{asked.model} draws no scenes; give --ways none.")
    suite = Suite(circle=asked.circle, count=asked.clips, size=(asked.size, asked.size), seed=asked.seed)
    asked.out.mkdir(parents=True, exist_ok=True)
    report, scenes = {}, []
    if model.scene is not None:
        report["scene alone"], scenes = drawn(model, suite)
        print("scene alone", report["scene alone"], flush=True)
    for way in asked.ways:
        found = evaluate(suite, load_parser(), model_fn=maker(model, suite, way), distances=False, show=8)
        scores = {name: found.scores[name]["model"] for name in QUESTIONS if name in found.scores}
        report[way] = {name: [one.value, one.low, one.high] for name, one in scores.items()}
        print(way, {name: round(values[0], 3) for name, values in report[way].items()}, flush=True)
        if way != "none":
            factor = model.codec.config.time_factor
            told = (
                scenes if way == "drawn" else [true_tracks(clip, factor) for clip in islice(suite.clips(), 8)]
            )
            name = "scene.png" if way == "drawn" else "scene-true.png"
            sheet(told, found.first["model"], found.first["real"], factor, asked.out / name)
        (asked.out / "scene.json").write_text(
            json.dumps(vars(asked) | {"scores": report}, default=str, indent=2)
        )


if __name__ == "__main__":
    main()
