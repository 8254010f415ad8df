"""Each filter drops what it is for, and nothing else; the reason names the figure."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sorairo.data.build.figures import sharpness
from sorairo.data.build.run import build
from sorairo.data.build.text import text_boxes
from sorairo.data.shards import read_shard
from tests.data.films import ENCODING, TARGET, encoders, write_film


def ground(seed: int, size: tuple[int, int] = (192, 144)) -> np.ndarray:
    """A picture of patches, wider than it is shown."""
    w, h = size
    coarse = np.random.default_rng(seed).integers(50, 206, (h // 12, w // 4, 3))
    return np.kron(coarse, np.ones((12, 12, 1))).astype(np.uint8)


def pan(seed: int, speed: int = 4, size: tuple[int, int] = (192, 144)) -> np.ndarray:
    """uint8 (t h w 3): a camera that goes right by `speed` pixels a frame."""
    wide = ground(seed, size)
    return np.stack([wide[:, t * speed : t * speed + size[0]] for t in range(10)])


def written(frames: np.ndarray) -> np.ndarray:
    place, font = (10, 120), cv2.FONT_HERSHEY_SIMPLEX
    return np.stack(
        [cv2.putText(f.copy(), "WATCH NOW", place, font, 1.0, (255, 255, 255), 3) for f in frames]
    )


def framed(frames: np.ndarray, bars: int) -> np.ndarray:
    return np.pad(frames, ((0, 0), (bars, bars), (0, 0), (0, 0)))


def test_every_filter_drops_its_own(tmp_path: Path) -> None:
    folder, out = tmp_path / "clips", tmp_path / "out"
    folder.mkdir()
    films = {
        "good": pan(1),
        "narrow bars": framed(pan(2), 16),
        "bars": framed(pan(3), 48),
        "light": (pan(4) * 0.35).astype(np.uint8),
        "light too": 255 - (pan(5) * 0.35).astype(np.uint8),
        "sharpness": np.stack([cv2.GaussianBlur(frame, (0, 0), 12) for frame in pan(6)]),
        "frozen": np.concatenate([pan(7)[:1]] * 10),
        "motion too": pan(8, speed=12, size=(96, 72)),
    }
    for name, frames in films.items():
        write_film(folder / f"{name}.mp4", frames, f"This is {name}.")
    (out / "filters.toml").parent.mkdir()
    (out / "filters.toml").write_text(
        "[frozen]\nmost = 0.9\n[sharpness]\nleast = 8.0\n[bars]\nmost = 0.3\n[light]\nleast = 60.0\nmost = 200.0\n"
        "[motion]\nmost = 70.0\n[scenes]\nchange = 200.0\n"
    )
    build(folder, out, target=replace(TARGET, sizes=((48, 32),)), encoding=ENCODING, load=encoders)
    kept = {json.loads(line)["file"] for line in (out / "kept.jsonl").read_text().splitlines()}
    dropped = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert kept == {"good.mp4", "narrow bars.mp4"}
    assert {one["file"]: one["by"] for one in dropped} == {
        f"{name}.mp4": name.split()[0] for name in films if f"{name}.mp4" not in kept
    }
    for one in dropped:
        value = f"{one['figures'][one['by']]:g}"
        assert one["reason"].startswith(f"{one['by']} {value} is "), one["reason"]
    boxes = {r["file"]: r["box"] for p in out.glob("*.safetensors") for r in read_shard(p).records}
    assert boxes["good.mp4"] == [0, 0, 192, 144]
    assert boxes["narrow bars.mp4"] == pytest.approx([0, 16, 192, 160], abs=1)  # cut off


@pytest.mark.slow  # 5 s, for it loads RapidOCR
def test_burnt_in_text_is_found_and_does_not_hide_blur() -> None:
    blurred = np.stack([cv2.GaussianBlur(frame, (0, 0), 12) for frame in pan(9)[:1]])
    (plain,), (lettered,) = blurred, written(blurred)
    boxes = text_boxes(lettered)
    assert boxes and not text_boxes(plain)
    assert sharpness(plain, []) < 8 and sharpness(lettered, boxes) < 8 < 100 < sharpness(lettered, [])
