"""Frames that are written come back: size, number, rate, words, and nearly the same colours."""

from __future__ import annotations

import math
import os
import struct
import subprocess
import sys
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sorairo.types import Video
from sorairo.video import EXTENSIONS, contact_sheet, read_metadata, read_video, resize, write_video

METADATA = {"prompt": "A café's “red” ball", "seed": 3, "size": [64, 48]}


def clip(frames: int = 9, size: tuple[int, int] = (64, 48), fps: float = 8.0) -> Video:
    """A smooth pattern that moves."""
    w, h = size
    t, y, x = np.mgrid[:frames, :h, :w]
    red, green = 128 + 90 * np.sin((x + 3 * t) / 9), 128 + 80 * np.cos((y + t) / 11)
    return Video(frames=np.stack([red, green, 255 - red], axis=-1).astype(np.uint8), fps=fps)


def psnr(one: np.ndarray, two: np.ndarray) -> float:
    return 10 * math.log10(255**2 / np.square(one.astype(float) - two).mean().clip(1e-9))


@pytest.mark.parametrize(("extension", "floor"), [(".mp4", 36), (".webp", 36), (".gif", 25)])
def test_clip_comes_back(tmp_path: Path, extension: str, floor: float) -> None:
    video = clip()
    write_video(video, tmp_path / f"a{extension}", METADATA)
    back = read_video(tmp_path / f"a{extension}")
    assert back.frames.shape == video.frames.shape and back.frames.dtype == np.uint8
    assert back.fps == pytest.approx(8.0, rel=0.02)
    assert psnr(back.frames, video.frames) > floor
    assert read_metadata(tmp_path / f"a{extension}") == METADATA
    assert [path.name for path in tmp_path.iterdir()] == [f"a{extension}"]


def test_colours_are_not_shifted(tmp_path: Path) -> None:
    """Range and matrix agree between writer and reader: flat colours return within two levels."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [120, 80, 200]])
    frames = np.broadcast_to(colours[:, None, None], (6, 32, 32, 3)).astype(np.uint8)
    write_video(Video(frames=frames, fps=8.0), tmp_path / "a.mp4")
    back = read_video(tmp_path / "a.mp4").frames.astype(int)
    assert np.abs(back.mean(axis=(1, 2)) - colours).max() < 2.5


def test_still_is_exact(tmp_path: Path) -> None:
    still = clip(frames=1)
    write_video(still, tmp_path / "a.png", METADATA)
    assert np.array_equal(read_video(tmp_path / "a.png").frames, still.frames)
    assert read_metadata(tmp_path / "a.png") == METADATA


def test_png_of_a_clip_is_a_sheet(tmp_path: Path) -> None:
    write_video(clip(frames=17), tmp_path / "a.png")
    width, height = read_video(tmp_path / "a.png").size
    assert width > 4 * 64 and height > 3 * 48


def test_mp4_plays_in_a_browser(tmp_path: Path) -> None:
    write_video(clip(), tmp_path / "a.mp4")
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 8
    boxes = top_boxes((tmp_path / "a.mp4").read_bytes())
    assert boxes.index("moov") < boxes.index("mdat")


def top_boxes(data: bytes) -> list[str]:
    """The names of an MP4's outermost boxes, in order."""
    names, place = [], 0
    while place < len(data):
        size, name = struct.unpack(">I4s", data[place : place + 8])
        names.append(name.decode())
        place += size
    return names


@pytest.mark.parametrize("size", [(63, 48), (64, 47), (33, 31)])
def test_odd_sizes_gain_a_row_or_column(tmp_path: Path, size: tuple[int, int]) -> None:
    write_video(clip(size=size), tmp_path / "a.mp4")
    w, h = size
    assert read_video(tmp_path / "a.mp4").size == (w + w % 2, h + h % 2)


@pytest.mark.parametrize("fps", [1.0, 7.5, 23.976, 30.0])
def test_frame_rates(tmp_path: Path, fps: float) -> None:
    write_video(clip(fps=fps), tmp_path / "a.mp4")
    assert read_video(tmp_path / "a.mp4").fps == pytest.approx(fps, rel=1e-3)


def test_webm_is_read(tmp_path: Path) -> None:
    video = clip()
    with av.open(str(tmp_path / "a.webm"), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = *video.size, "yuv420p"
        for frame in video.frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    back = read_video(tmp_path / "a.webm")
    assert back.frames.shape == video.frames.shape and back.fps == pytest.approx(8.0, rel=0.02)


def test_rotation_is_honoured(tmp_path: Path) -> None:
    """A phone's upright clip is stored lying down, with a matrix in the track header that says so."""
    upright = clip(frames=3, size=(48, 64))
    write_video(Video(frames=np.rot90(upright.frames, axes=(1, 2)), fps=8.0), tmp_path / "a.mp4")
    data = bytearray((tmp_path / "a.mp4").read_bytes())
    matrix = data.index(b"tkhd") + 4 + 40
    one = 1 << 16
    data[matrix : matrix + 36] = struct.pack(">9i", 0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30)
    (tmp_path / "b.mp4").write_bytes(data)
    back = read_video(tmp_path / "b.mp4")
    assert back.size == (48, 64)
    assert psnr(back.frames, upright.frames) > 30


def test_exif_rotation_is_honoured(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise to see it upright
    Image.fromarray(clip(frames=1).frames[0]).save(tmp_path / "a.jpg", exif=exif)
    assert read_video(tmp_path / "a.jpg").size == (48, 64)


def test_transparency_is_laid_on_white(tmp_path: Path) -> None:
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "a.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 128)).save(tmp_path / "b.png")
    assert (read_video(tmp_path / "a.png").frames == 255).all()
    assert read_video(tmp_path / "b.png").frames[0, 0, 0].tolist() == pytest.approx([255, 127, 127], abs=1)


def test_variable_rate_becomes_its_average(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in clip(frames=3).frames]
    pictures[0].save(tmp_path / "a.gif", save_all=True, append_images=pictures[1:], duration=[100, 300, 200])
    assert read_video(tmp_path / "a.gif").fps == pytest.approx(5.0, rel=0.01)
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], duration=[100, 300, 200])
    assert read_video(tmp_path / "a.webp").fps == pytest.approx(5.0, rel=0.01)


def test_same_frames_same_file(tmp_path: Path) -> None:
    for extension in EXTENSIONS:
        one, two = tmp_path / f"a{extension}", tmp_path / f"b{extension}"
        write_video(clip(), one, METADATA)
        write_video(clip(), two, METADATA)
        assert one.read_bytes() == two.read_bytes()


CODE = """
import hashlib, sys
import numpy as np
from sorairo.types import Video
from sorairo.video.write import write_mp4, write_video
from tests.video.clips import blocks
t = np.arange(48_000 * 2) / 48_000
track = np.stack([np.sin(2 * np.pi * 440 * t), np.sin(2 * np.pi * 660 * t)]).astype(np.float32) / 2
noise = np.random.default_rng(1).normal(0, 6, (17, 48, 64, 3))
clip = (np.linspace(0, 200, 64)[:, None] + 8 * np.sin(np.arange(17))[:, None, None, None] + noise).clip(0, 255)
video = Video(frames=clip.astype(np.uint8), fps=8.0)
for round in range(int(sys.argv[2])):
    for kind in ("mp4", "gif", "webp", "sound.mp4"):
        path = f"{sys.argv[1]}/a.{kind}"
        write_video(video, path, {"prompt": "a ball"}, track=track if "sound" in kind else None)
        print(kind, hashlib.sha256(open(path, "rb").read()).hexdigest())
"""


def written_in_processes(folder: Path, processes: int, rounds: int) -> dict[str, set[str]]:
    """The hashes of the same clip in every format, by processes whose fresh memory holds other bytes."""
    found: dict[str, set[str]] = {}
    for index in range(processes):
        byte = ("0", "165", "90", "255")[index % 4]
        here = {**os.environ, "MALLOC_PERTURB_": byte, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-c", CODE, str(folder), str(rounds)]
        done = subprocess.run(command, env=here, capture_output=True, text=True, check=True)
        for line in done.stdout.splitlines():
            kind, value = line.split()
            found.setdefault(kind, set()).add(value)
    return found


def test_same_frames_same_file_in_other_memory(tmp_path: Path) -> None:
    assert {kind: len(values) for kind, values in written_in_processes(tmp_path, 3, 2).items()} == ONE_EACH


@pytest.mark.slow
def test_twenty_of_twenty_files_are_equal(tmp_path: Path) -> None:
    assert {kind: len(values) for kind, values in written_in_processes(tmp_path, 20, 1).items()} == ONE_EACH


ONE_EACH = {"mp4": 1, "gif": 1, "webp": 1, "sound.mp4": 1}


def test_resize() -> None:
    video = clip(size=(64, 48))
    assert resize(video, (64, 48)) is video
    assert resize(video, (32, 32)).frames.shape == (9, 32, 32, 3)
    middle = resize(video, (48, 48))  # crops eight columns left and right, no scaling
    assert np.abs(middle.frames.astype(int) - video.frames[:, :, 8:56]).max() <= 1
    assert resize(video, (96, 48), fit="stretch").size == (96, 48)


def test_contact_sheet(tmp_path: Path) -> None:
    captions = ["A red ball drops.", "words " * 40, ""]
    contact_sheet([clip(), clip(frames=2), clip(size=(48, 64))], captions, tmp_path / "a.png", columns=2)
    page = read_video(tmp_path / "a.png")
    assert page.size[0] > 2 * 6 * 64
    assert (page.frames[0, 0, 0] > 240).all()
