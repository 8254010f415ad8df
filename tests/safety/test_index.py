"""Did we make this? Copies are found, others are not; bench/whose.py has figures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sorairo.safety.fingerprints import Query, fingerprint, query_of
from sorairo.safety.index import Entry, Index, LocalIndex
from sorairo.types import UserError, Video
from sorairo.video import write_video
from tests.cli.test_generate_command import sorairo as command  # the fixture  # noqa: F401


def clip_of(seed: int, frames: int = 16) -> Video:
    """Soft blobs that drift (t h w 3), different for every seed."""
    random = np.random.default_rng(seed)
    large = random.integers(0, 255, (8, 12, 3)).astype(np.uint8)
    ground = np.asarray(Image.fromarray(large).resize((192, 96), Image.Resampling.BICUBIC))
    return Video(frames=np.stack([ground[:, 4 * i : 4 * i + 96] for i in range(frames)]), fps=8.0)


@pytest.fixture(scope="module")
def index() -> Index:
    made = Index()
    made.add(
        Entry(name=str(seed), created=0.0, mark=seed, print=fingerprint(clip_of(seed), middles=True))
        for seed in range(30)
    )
    return made


def resized(video: Video, side: int) -> Video:
    frames = [np.asarray(Image.fromarray(frame).resize((side, side))) for frame in video.frames]
    return Video(frames=np.stack(frames), fps=video.fps)


@pytest.mark.parametrize(
    "change", ["nothing", "half", "mirror", "trim", "slow", "still", "crop", "corner", "bars"]
)
def test_finds_copies(change: str, index: Index) -> None:
    clip = clip_of(7)
    query = {
        "nothing": lambda: clip,
        "half": lambda: resized(clip, 48),
        "mirror": lambda: Video(frames=clip.frames[:, :, ::-1], fps=8.0),
        "trim": lambda: clip.part(5, 15),
        "slow": lambda: Video(frames=clip.frames, fps=4.0),
        "still": lambda: clip.part(6, 7),
        "crop": lambda: Video(frames=clip.frames[:, 2:93, 2:93], fps=8.0),
        "corner": lambda: Video(frames=clip.frames[:, 14:, :82], fps=8.0),  # 15% off each side
        "bars": lambda: Video(frames=np.pad(clip.frames, ((0, 0), (12, 12), (0, 0), (0, 0))), fps=8.0),
    }[change]()
    seen = query_of(query)
    found = index.whose(Query.from_dict(json.loads(json.dumps(seen.to_dict()))))
    assert [entry.name for entry, _ in found] == ["7"]
    match = found[0][1]
    assert match.share >= 0.5 and match.mirrored == (change == "mirror")
    if change == "slow":
        assert match.speed == 0.5
    if change == "trim":
        assert abs(match.start - 5 / 8) < 0.2


def test_does_not_find_others(index: Index) -> None:
    assert index.whose(query_of(clip_of(99))) == []
    assert [one.name for one in index.marked(3)] == ["3"] and index.marked(77) == []


def test_the_index_on_disk(tmp_path: Path) -> None:
    local = LocalIndex(tmp_path / "new" / "made.db")
    assert local.load().whose(query_of(clip_of(1))) == []
    local.add("/a/b.mp4", fingerprint(clip_of(1), middles=True), 2**32 - 1)
    ((entry, match),) = LocalIndex(local.path).load().whose(query_of(clip_of(1)))
    assert (entry.name, entry.mark, match.share) == ("/a/b.mp4", 2**32 - 1, 1.0)
    corner = query_of(Video(frames=clip_of(1).frames[:, :82, 14:], fps=8.0))
    assert [one.name for one, _ in local.load().whose(corner)] == ["/a/b.mp4"]
    local.add("older.mp4", fingerprint(clip_of(2)))  # as a version before the middles wrote it
    assert [one.name for one, _ in local.load().whose(query_of(clip_of(2)))] == ["older.mp4"]
    local.path.write_text("not a database, and long enough to be told from one")
    with pytest.raises(UserError, match="a new one begins"):
        local.load()
    with pytest.raises(UserError, match="cannot be written"):
        local.add("x", fingerprint(clip_of(1)))


def test_whose(
    command: object,  # noqa: F811
    tmp_path: Path,
    tiny_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "own"))  # other tests' clips look like this one

    def ran(*words: str):
        return command(*words)  # pyright: ignore

    made = ran("generate", "a red ball", "--frames", "9", "--model", str(tiny_folder), "--steps", "1", "--seed", "5",
               "-o", "made.mp4")  # fmt: skip
    assert made.code == 0, made.err
    from sorairo.video import read_video

    video = read_video("made.mp4")
    write_video(Video(frames=video.frames[:, :, ::-1], fps=video.fps), "copy.mp4")
    done = ran("whose", "copy.mp4", "--json")
    first = json.loads(done.out)["found"][0]
    assert done.code == 0 and Path(first["path"]).name == "made.mp4" and first["mirrored"]


def test_whose_says_what_it_found(
    tmp_path: Path,
    command: object,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SORAIRO_PROVENANCE", str(tmp_path / "own"))
    LocalIndex().add("made.mp4", fingerprint(clip_of(7), middles=True))
    write_video(clip_of(7).part(0, 8), "copy.mp4")
    assert "made.mp4" in command("whose", "copy.mp4").out  # pyright: ignore
    write_video(clip_of(5).part(0, 8), "other.mp4")
    assert command("whose", "other.mp4").code == 4  # pyright: ignore
    assert command("whose", "other.mp4", "--index", "none.db").code == 2  # pyright: ignore
