"""A folder of own clips becomes shards to train on; what cannot be used is said, and never gets empty words."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from sorairo.data.latents import KINDS, Bucket, LatentPlan, make_latents
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import read_shard
from sorairo.data.sources.clips import ClipFolder, read_captions
from sorairo.types import UserError, Video
from sorairo.video import write_video

BUCKET = Bucket(size=(32, 32), frames=5, share=1)


def encode(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames[:, ::4, ::8, ::8, 0].astype("f4"))[:, None]  # n 1 2 4 4


def words(sentences: list[str]) -> tuple[Tensor, Tensor]:
    lengths = torch.tensor([len(sentence.split()) for sentence in sentences])
    return torch.ones(len(sentences), int(lengths.max()), 4), lengths


def film(path: Path, level: int, frames: int = 12) -> None:
    write_video(Video(frames=np.full((frames, 48, 64, 3), level, np.uint8), fps=16.0), path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "clips"
    folder.mkdir()
    for index, level in enumerate((40, 80, 120, 160)):
        film(folder / f"{index}.mp4", level)
        (folder / f"{index}.txt").write_text(f"A grey wall, number {index}.\nwall {index}\n\n")
    (folder / "1.txt").unlink()
    (folder / "1.json").write_text(json.dumps({"captions": ["Number one."]}))
    return folder


def test_a_folder_becomes_shards_that_a_loader_reads(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "2.mp4").write_bytes((folder / "2.mp4").read_bytes()[:200])  # broken
    film(folder / "3.mp4", 160, frames=3)  # too short
    film(folder / "4.mp4", 200)  # without words
    with caplog.at_level(logging.WARNING):
        source = ClipFolder(folder, fps=8.0)
        plan = LatentPlan(shards=2, clips=2, run=1, first_seed=0, buckets=(BUCKET,))
        made = make_latents(plan, folder.parent / "latents", source=source, encode=encode, words=words)
    assert (made.written, made.left_out) == (1, 2)
    assert source.left_out.keys() == {"2.mp4", "3.mp4", "4.mp4"}
    assert "no captions" in source.left_out["4.mp4"] and "2 frames" in source.left_out["3.mp4"]
    assert "2.mp4 is left out" in caplog.text
    (path,) = (folder.parent / "latents").glob("*.safetensors")  # the second shard would have been empty
    shard = read_shard(path)
    assert [record["file"] for record in shard.records] == ["0.mp4", "1.mp4"]
    assert shard.records[0]["captions"] == dict(
        zip(KINDS, ("A grey wall, number 0.", "wall 0", "A grey wall, number 0.", "wall 0"), strict=True)
    )
    assert set(shard.records[1]["captions"].values()) == {"Number one."}
    assert shard["latents"].shape == (2, 1, 2, 4, 4) and float(shard["latents"][1].float().mean()) > 60
    again = make_latents(plan, folder.parent / "latents", source=source, encode=encode, words=words)
    assert (again.written, again.kept) == (0, 1)
    loader = Loader(
        folder.parent / "latents", folder.parent / "lists", LoaderConfig(tokens=16), torch.zeros(1, 4)
    )
    assert loader.batch(0).latents.shape[3:] == (4, 4)


def test_the_same_number_is_the_same_clip(folder: Path) -> None:
    source = ClipFolder(folder, fps=8.0)
    assert len(source) == 4
    first, second, none = source.clips([2, 2, 9], BUCKET)
    assert first and second and none is None
    assert np.array_equal(first.video.frames, second.video.frames) and first.video.frames.shape == (
        5,
        32,
        32,
        3,
    )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"\n  \n", "empty"),
        ("a.txt", b"\xff\xfe\x00", "UTF-8"),
        ("a.json", b'{"captions": [3]}', "must hold"),
        ("a.json", b"{", "cannot be read"),
        ("a.json", b"[" * 100_000, "cannot be read"),
    ],
)
def test_captions_that_are_none(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=said):
        read_captions(tmp_path / "a.mp4")


def test_a_folder_without_clips_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="does not exist"):
        ClipFolder(tmp_path / "none", fps=8.0)
    with pytest.raises(UserError, match="no clip with captions"):
        ClipFolder(tmp_path, fps=8.0)
