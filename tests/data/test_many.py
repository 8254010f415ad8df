"""Many clips, one in twenty of them broken, on a local Ray: nothing stops, all are counted, shards as without Ray.

CLIPS=10000 MANY=runs/many python -m pytest tests/data/test_many.py -m slow -s    (MANY: a folder that stays, so that a
run that was ended goes on; RAY: the address of a Ray that was started beforehand, such as auto)
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from sorairo.data.build.cluster import RayCrew
from sorairo.data.build.run import build
from sorairo.data.manifest import read_manifest
from tests.data.films import ENCODING, TARGET, check, encoders, film, write_film

CLIPS = int(os.environ.get("CLIPS", 200))
FAULTS = ("cut short", "empty", "a text", "without words", "too few frames")


def make(folder: Path, number: int) -> str | None:
    """Write clip `number`; returns what is wrong with it. One in twenty is broken."""
    fault = FAULTS[number // 20 % len(FAULTS)] if number % 20 == 19 else None
    path = folder / f"{number // 1000:02d}" / f"{number:05d}.mp4"
    if path.exists():
        return fault
    path.parent.mkdir(parents=True, exist_ok=True)
    frames = film(20 + number % 200, seed=number)
    if fault == "too few frames":
        frames = frames[:3]
    temporary = path.with_name("new.mp4")
    write_film(temporary, frames)
    if fault == "cut short":
        temporary.write_bytes(temporary.read_bytes()[:700])
    elif fault == "empty":
        temporary.write_bytes(b"")
    elif fault == "a text":
        temporary.write_text(f"These are notes, number {number}.\n")
    if fault != "without words":
        path.with_suffix(".txt").write_text(f"Clip number {number}.\n")
    temporary.rename(path)
    return fault


def built(folder: Path, out: Path, **more: Any) -> str:
    """How long a build takes."""
    began, spent = time.perf_counter(), time.process_time()
    options: dict[str, Any] = {"target": TARGET, "encoding": ENCODING, "load": encoders, "per_shard": 256}
    build(folder, out, **options | {"check": check} | more)
    return f"{time.perf_counter() - began:.0f} s ({time.process_time() - spent:.0f} s of this process)"


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of Ray's own code
def test_many_clips_on_ray(tmp_path: Path) -> None:
    home = Path(os.environ.get("MANY", tmp_path)).absolute()
    faults = [make(home / "clips", number) for number in range(CLIPS)]
    broken = Counter(fault for fault in faults if fault)
    crew = RayCrew(os.environ.get("RAY", "local"))
    try:
        with_ray = built(home / "clips", home / "ray", crew=crew, encode_crew=crew)
    finally:
        crew.close()
    alone = built(home / "clips", home / "alone")
    print(f"\n{CLIPS} clips, {broken.total()} of them broken: {with_ray} on Ray, {alone} without")

    kept = read_manifest(home / "ray").clips
    rejected = [json.loads(line) for line in (home / "ray" / "rejected.jsonl").read_text().splitlines()]
    assert kept == CLIPS - broken.total() and len(rejected) == broken.total()
    wrong = {entry["file"] for entry in rejected}
    assert wrong == {f"{n // 1000:02d}/{n:05d}.mp4" for n, fault in enumerate(faults) if fault}
    assert all(entry["reason"] for entry in rejected)
    shards = sorted(path.name for path in (home / "alone").glob("*.safetensors"))
    assert shards == sorted(path.name for path in (home / "ray").glob("*.safetensors"))
    for name in (*shards, "kept.jsonl", "rejected.jsonl"):
        assert (home / "ray" / name).read_bytes() == (home / "alone" / name).read_bytes(), name
