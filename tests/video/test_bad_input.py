"""Files that cannot be read or written: one sentence, and nothing half-written stays behind."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sorairo.files import replacing
from sorairo.types import UserError, Video
from sorairo.video import EXTENSIONS, read_metadata, read_video, write_video

CLIP = Video(frames=np.zeros((5, 32, 32, 3), np.uint8), fps=8.0)


def truncated(extension: str, keep: float = 0.1) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        path = folder / f"cut{extension}"
        noise = np.random.default_rng(0).integers(0, 255, (5, 64, 64, 3)).astype(np.uint8)
        write_video(Video(frames=noise, fps=8.0), path)
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
        return path

    return make


def written(name: str, data: bytes) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / name).write_bytes(data)
        return folder / name

    return make


def sound_only(folder: Path) -> Path:
    import av

    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))  # pyright: ignore[reportAttributeAccessIssue, reportArgumentType]
        container.mux(stream.encode())  # pyright: ignore[reportAttributeAccessIssue]
    return folder / "a.mp4"


def bomb(folder: Path) -> Path:
    Image.new("1", (20000, 5000)).save(folder / "bomb.png")
    return folder / "bomb.png"


def long(folder: Path) -> Path:
    write_video(CLIP, folder / "long.mp4")
    return folder / "long.mp4"


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n#EXT-X-ENDLIST\n"

UNREADABLE: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (lambda folder: folder / "none.mp4", "does not exist"),
    "a folder": (lambda folder: folder, "is not a file"),
    "empty": (written("a.mp4", b""), "is empty"),
    "text": (written("a.mp4", b"this is no video at all\n" * 50), "damaged"),
    "a playlist": (written("a.mp4", PLAYLIST), "is a playlist, which is not read here"),
    "cut mp4": (truncated(".mp4", keep=0.001), "cut short"),
    "cut in the middle": (truncated(".mp4", keep=0.5), "cut short"),
    "cut png": (truncated(".png"), "cut short"),
    "cut webp": (truncated(".webp"), "cut short"),
    "cut gif": (truncated(".gif"), "cut short"),
    "sound only": (sound_only, "no video"),
    "bomb": (bomb, "too large"),
    "too many frames": (long, "more than 4 frames"),
}


@pytest.mark.parametrize(("make", "words"), UNREADABLE.values(), ids=UNREADABLE)
def test_unreadable(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    with pytest.raises(UserError) as caught:
        read_video(path, max_frames=4)
    sentence = str(caught.value)
    assert words in sentence and sentence.endswith(".") and "\n" not in sentence


def test_file_without_metadata(tmp_path: Path) -> None:
    write_video(CLIP, tmp_path / "a.mp4")
    assert read_metadata(tmp_path / "a.mp4") == {}


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a.avi", "must end in"),
        ("a", "must end in"),
        ("none/a.mp4", "does not exist"),
        ("folder.mp4", "a folder"),
    ],
)
def test_unwritable_names(tmp_path: Path, name: str, words: str) -> None:
    (tmp_path / "folder.mp4").mkdir()
    with pytest.raises(UserError, match=words):
        write_video(CLIP, tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.mp4"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_forbidden_folder(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    with pytest.raises(UserError, match="may write"):
        write_video(CLIP, tmp_path / "closed" / "a.mp4")


@pytest.mark.parametrize("extension", EXTENSIONS)
@pytest.mark.parametrize("room", [0, 2000])
def test_full_disk(tmp_path: Path, extension: str, room: int) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 96, 96, 3)).astype(np.uint8)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))
    try:
        with pytest.raises(UserError, match="No space is left"):
            write_video(Video(frames=noise, fps=8.0), tmp_path / f"a{extension}")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), ValueError()])
def test_interrupted_writing_leaves_the_old_file(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"old")
    with pytest.raises((UserError, KeyboardInterrupt, ValueError)), replacing(path) as temporary:
        temporary.write_bytes(b"half")
        raise error
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.mp4"]
