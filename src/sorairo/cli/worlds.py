"""`sorairo worlds`: what the simulated worlds hold, and their clips as files."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sorairo.types import UserError

if TYPE_CHECKING:
    from sorairo.worlds import WorldClip

__all__ = ["app"]

app = typer.Typer(help="Simulated worlds, the source of training data.", no_args_is_help=True)

Save = Callable[[list["WorldClip"], Path], None]


@app.command("list")
def list_worlds(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Show what each world contains, circle by circle."""
    from dataclasses import asdict

    from sorairo.worlds import WORLDS
    from sorairo.worlds.circles import CIRCLES

    circles = [asdict(circle) for circle in CIRCLES]
    if as_json:
        print(json.dumps({"worlds": [{"name": name, "circles": circles} for name in WORLDS]}))
        return
    for name in WORLDS:
        print(f"{name}: {len(circles)} circles, each holding the one before")
        for number, circle in enumerate(circles):
            print(f"  circle {number}: {count(circle):,} combinations of shape, colour, event and camera")
            for key, values in circle.items():
                print(f"    {key:<10} {', '.join(str(value) for value in values)}")


@app.command()
def render(
    world: Annotated[str, typer.Option(metavar="NAME", help="Name of the world.")] = "studio",
    seeds: Annotated[
        str, typer.Option(metavar="A:B", help="Seeds from A up to, not including, B; or one seed.")
    ] = "0:64",
    size: Annotated[str, typer.Option(metavar="WxH", help="Width and height in pixels.")] = "96x96",
    frames: Annotated[int, typer.Option(metavar="N", help="1 for a still, or at least 13.")] = 17,
    fps: Annotated[float, typer.Option(metavar="F", help="Frames per second.")] = 8.0,
    circle: Annotated[
        int, typer.Option(metavar="C", help="How much of the world; see `sorairo worlds list`.")
    ] = 1,
    split: Annotated[
        str, typer.Option(metavar="train|heldout", help="Combinations for training, or those kept out of it.")
    ] = "train",
    events: Annotated[str, typer.Option(metavar="E,E", help="Only these events, such as drop,roll.")] = "",
    out: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the files.")] = Path(
        "clips"
    ),
    form: Annotated[
        str,
        typer.Option(
            "--format", metavar="shard|mp4", help="Shards for training, or MP4 files with JSON beside them."
        ),
    ] = "shard",
    per_shard: Annotated[int, typer.Option(metavar="K", help="Clips per shard.")] = 64,
    workers: Annotated[
        int, typer.Option(metavar="N", help="Processes that render; 0 renders in the main process.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout.")] = False,
) -> None:
    """Render clips with captions and exact state. The same command again renders only what is missing."""
    from sorairo.cli.progress import Stages
    from sorairo.worlds import get_world, render_clips

    if form not in SAVE:
        raise UserError(f"--format is one of {', '.join(SAVE)}, not {form!r}.")
    if per_shard < 1 or workers < 0:
        raise UserError("--per-shard is 1 or more and --workers 0 or more.")
    chosen, place = get_world(world), parse_size(size)
    facts: dict[str, Any] = {"size": place, "frames": frames, "fps": fps, "circle": circle, "split": split}
    facts["events"] = [event.strip() for event in events.split(",") if event.strip()]
    chosen.check(parse_seeds(seeds).start, **facts)
    check_same(out, {"world": world, **facts, "per_shard": per_shard if form == "shard" else 1})
    groups = [group for group in grouped(parse_seeds(seeds), per_shard if form == "shard" else 1)]
    todo = [(group, out / name_of(world, group, form)) for group in groups]
    missing = [(group, path) for group, path in todo if not path.exists()]
    began, done = time.perf_counter(), 0
    with Stages() as stages:
        total = sum(len(group) for group, _ in missing)
        clips = render_clips(chosen, (s for group, _ in missing for s in group), workers=workers, **facts)
        for group, path in missing:
            made = []
            for _ in group:
                made.append(next(clips))
                done += 1
                stages("render", done, total)
            SAVE[form](made, path)
    seconds = time.perf_counter() - began
    result = {
        "out": str(out),
        "files": [str(path) for _, path in todo],
        "clips": done,
        "kept": len(todo) - len(missing),
        "seconds": round(seconds, 2),
        "frames_per_second": round(done * frames / seconds, 1) if done else 0.0,
    }
    if as_json:
        print(json.dumps(result))
    else:
        print(f"{done} clips into {len(missing)} files in {out}; {result['kept']} files were there already.")


def count(circle: dict[str, Any]) -> int:
    """Combinations of the first object's shape and colour with event and camera, roughly what can be asked for."""
    total = 1
    for key in ("shapes", "colours", "events", "cameras"):
        total *= len(circle[key])
    return total


def parse_size(text: str) -> tuple[int, int]:
    """'96x64' -> (96, 64)."""
    found = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text.strip().lower())
    if not found:
        raise UserError(f"--size is WIDTHxHEIGHT, such as 96x96, not {text!r}.")
    return int(found[1]), int(found[2])


def parse_seeds(text: str) -> range:
    """'3:7' -> range(3, 7); '3' -> range(3, 4)."""
    found = re.fullmatch(r"(\d{1,15})(?::(\d{1,15}))?", text.strip())
    seeds = range(int(found[1]), int(found[2] or int(found[1]) + 1)) if found else range(0)
    if not seeds:
        raise UserError(f"--seeds is A:B with A below B, such as 0:64, not {text!r}.")
    return seeds


def grouped(seeds: range, size: int) -> Iterator[range]:
    """The seeds in files. Files begin at multiples of their size, so that other ranges share them."""
    start = seeds.start
    while start < seeds.stop:
        stop = min((start // size + 1) * size, seeds.stop)
        yield range(start, stop)
        start = stop


def name_of(world: str, group: range, form: str) -> str:
    return (
        f"{world}-{group.start:09d}.mp4"
        if form == "mp4"
        else f"{world}-{group.start:09d}-{len(group)}.safetensors"
    )


OLD: dict[str, Any] = {"events": []}  # what folders were made with that do not say


def check_same(folder: Path, settings: dict[str, Any]) -> None:
    """Write what the folder is made with, or raise UserError if it was made with something else."""
    from sorairo.files import write_text

    path, now = folder / "render.json", json.loads(json.dumps(settings))
    try:
        before = json.loads(path.read_text())
    except FileNotFoundError:
        write_text(path, json.dumps(now, indent=2) + "\n")
        return
    except (ValueError, OSError) as error:
        raise UserError(f"{path} cannot be read; give another --out, or delete the folder.") from error
    for key, value in now.items():
        if not isinstance(before, dict) or before.get(key, OLD.get(key)) != value:
            old = before.get(key) if isinstance(before, dict) else None
            raise UserError(f"{folder} was made with {key} = {old}, now it is {value}: give another --out.")


def save_shard(clips: list[WorldClip], path: Path) -> None:
    import numpy as np

    from sorairo.data.shards import write_shard

    frames = np.stack([clip.video.frames for clip in clips])  # n t h w 3
    info = {"fps": clips[0].video.fps, "size": list(clips[0].video.size), "frames": frames.shape[1]}
    write_shard(path, {"frames": frames}, [record(clip) for clip in clips], info)


def save_mp4(clips: list[WorldClip], path: Path) -> None:
    from sorairo.files import write_text
    from sorairo.video import write_video

    (clip,) = clips
    write_text(path.with_suffix(".json"), json.dumps(record(clip)) + "\n")
    write_video(clip.video, path, {"caption": clip.captions.long, "seed": clip.seed})


SAVE: dict[str, Save] = {"shard": save_shard, "mp4": save_mp4}


def record(clip: WorldClip) -> dict[str, Any]:
    """Captions, seed and state of a clip as JSON values; what is not seen has null for a number."""
    from dataclasses import asdict

    return {"seed": clip.seed, "captions": asdict(clip.captions), "state": plain(clip.state)}


def plain(value: Any) -> Any:
    """Arrays as nested lists of 5 digits behind the point, NaN as null."""
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return None if value != value else round(value, 5)
    return value
