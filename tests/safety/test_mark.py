"""The invisible mark: read back whole after what files go through; not seen elsewhere. bench/mark.py has figures."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import sorairo
from sorairo.jobs.record import clip_of, write
from sorairo.safety.code import LENGTH, decode, encode
from sorairo.safety.identity import mark_key
from sorairo.safety.mark import chance, embed
from sorairo.safety.mark_search import detect
from sorairo.types import Known, Plan, Sample, Span, Video
from sorairo.video import read_metadata, read_video

KEY, PAYLOAD = b"0123456789abcdef0123456789abcdef", 0x8BADF00D


def scene(side: int = 192, frames: int = 3) -> np.ndarray:
    """A disc that moves over a soft background with some texture (t h w 3)."""
    y, x = np.mgrid[:side, :side] / side
    noise = np.asarray(
        Image.fromarray(np.random.default_rng(0).integers(0, 12, (24, 24)).astype(np.uint8)).resize(
            (side, side), Image.Resampling.BICUBIC
        )
    )
    pictures = []
    for index in range(frames):
        disc = np.hypot(x - 0.3 - 0.05 * index, y - 0.6) < 0.15
        grey = np.where(disc, 60, 150 + 40 * y + noise - 6)
        pictures.append(np.stack([grey, np.where(disc, 40, grey), np.where(disc, 160, grey - 20)], -1))
    return np.clip(np.stack(pictures), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def marked() -> np.ndarray:
    return embed(scene(), PAYLOAD, KEY)


def coded(frames: np.ndarray, crf: int) -> np.ndarray:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream("libx264", rate=8, options={"crf": str(crf)})
        stream.width, stream.height = frames.shape[2], frames.shape[1]  # pyright: ignore
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))  # pyright: ignore
        container.mux(stream.encode())  # pyright: ignore
    file.seek(0)
    with av.open(file) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def scaled(frames: np.ndarray, side: int) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(frame).resize((side, side))) for frame in frames])


def test_cannot_be_seen(marked: np.ndarray) -> None:
    error = ((marked.astype(float) - scene()) ** 2).mean()
    assert 10 * np.log10(255**2 / error) > 40


@pytest.mark.parametrize("change", ["nothing", "crf28", "half", "crop", "mirror", "one frame"])
def test_survives(change: str, marked: np.ndarray) -> None:
    seen = {
        "nothing": lambda: marked,
        "crf28": lambda: coded(marked, 28),
        "half": lambda: scaled(marked, 96),
        "crop": lambda: marked[:, 10:174, 18:182],
        "mirror": lambda: marked[:, :, ::-1],
        "one frame": lambda: marked[1:2],
    }[change]()
    found = detect(seen, KEY)
    assert found is not None and found.payload == PAYLOAD and found.mirrored == (change == "mirror")
    if change == "crop":
        assert np.allclose(found.crop, (18 / 192, 10 / 192, 164 / 192, 164 / 192), atol=0.02)


def blocks(side: int = 192, frames: int = 3) -> np.ndarray:
    """Rectangles of strong contrast that move slowly (t h w 3)."""
    random = np.random.default_rng(2)
    picture = np.full((side + frames, side + frames, 3), 128, np.uint8)
    for _ in range(60):
        (top, left), (h, w) = random.integers(0, side, 2), random.integers(8, side // 4, 2)
        picture[top : top + h, left : left + w] = random.integers(20, 236, 3)
    return np.stack([picture[at : at + side, at : at + side] for at in range(frames)])


@pytest.mark.parametrize("change", ["crop", "crf30"])
def test_survives_among_strong_edges(change: str) -> None:
    marked = embed(blocks(frames=9), PAYLOAD, KEY)
    found = detect(marked[:, 20:183, 9:172] if change == "crop" else coded(marked, 30), KEY)
    assert found is not None and found.payload == PAYLOAD


def test_is_not_seen_without_the_key_or_the_mark(marked: np.ndarray) -> None:
    assert detect(marked, b"x" * 32, search=False) is None
    assert detect(scene(), KEY) is None
    assert detect(np.full((2, 96, 96, 3), 128, np.uint8), KEY, search=False) is None
    small = scene(64)
    assert embed(small, PAYLOAD, KEY) is small


def test_the_bound_on_false_alarms() -> None:
    assert chance(0.0, 1000, 2) == 1.0 and chance(0.2, 1500, 2) < 1e-3 < chance(0.1, 1500, 2)
    assert chance(0.3, 1500, 50) < 1e-6


def test_the_code_mends_errors() -> None:
    random = np.random.default_rng(0)
    for _ in range(10):
        payload = int(random.integers(2**32))
        sent = 1.0 - 2.0 * encode(payload)
        sent[random.permutation(LENGTH)[:8]] *= -1
        assert decode(sent) == payload


def test_a_file_is_marked_where_frames_are_new(tmp_path: Path, tiny_folder: Path) -> None:
    """Known frames stay as they were given; the number is in the record."""
    assert sorairo.load(tiny_folder, "fp32").generate("a red ball", frames=1, steps=1).making.mark
    video = Video(frames=scene(192, 8), fps=8.0)
    known = Known(video=video.part(0, 4))
    plan = Plan(size=(192, 192), frames=8, fps=8.0, spans=(Span(text="a"),), seed=0, known=(known,))
    clip = clip_of(Sample(video=video, plan=plan, model="other"))
    marks = {}
    for name, on in (("on.gif", True), ("off.gif", False)):
        record = write(replace(clip, making=replace(clip.making, mark=on)), tmp_path / name)
        marks[name] = record.get("mark")
        assert read_metadata(tmp_path / name).get("mark") == marks[name]
    assert marks["on.gif"] and marks["off.gif"] is None
    key = mark_key()
    assert key is not None
    found = detect(read_video(tmp_path / "on.gif").frames[4:], key, search=False)
    assert found is not None and f"{found.payload:08x}" == marks["on.gif"]
    assert detect(read_video(tmp_path / "on.gif").frames[:4], key, search=False) is None
