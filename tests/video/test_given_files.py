"""What verbs are given: any format, rate, size and turn becomes frames of the size and rate asked for."""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sorairo.types import UserError, Video
from sorairo.video import read_clip, read_still, read_video, resize, write_video
from tests.video.clips import FORMATS, STILLS, blocks, write_any, write_webm

SIZE = (48, 32)


def numbered(count: int) -> np.ndarray:
    """Frames (count 32 32 3) whose grey level is four times their number."""
    return np.broadcast_to(4 * np.arange(count)[:, None, None, None], (count, 32, 32, 3)).astype(np.uint8)


def numbers(video: Video) -> list[int]:
    return [round(float(level) / 4) for level in video.frames.mean(axis=(1, 2, 3))]


@pytest.mark.parametrize("kind", [kind for kind in FORMATS if kind not in STILLS])
def test_every_clip(tmp_path: Path, kind: str) -> None:
    path = write_any(tmp_path, kind)
    clip = read_clip(path, SIZE, 8.0)
    assert clip.frames.shape == (5, 32, 48, 3) and clip.frames.dtype == np.uint8 and clip.fps == 8.0
    with pytest.raises(UserError, match="a still picture"):
        read_still(path, SIZE)


@pytest.mark.parametrize("kind", STILLS)
def test_every_still(tmp_path: Path, kind: str) -> None:
    path = write_any(tmp_path, kind)
    assert read_still(path, SIZE).frames.shape == (1, 32, 48, 3)
    with pytest.raises(UserError, match="a clip of two frames or more is needed"):
        read_clip(path, SIZE, 8.0)


@pytest.mark.parametrize(
    ("fps", "asked", "expected"),
    [
        (24, 24.0, list(range(24))),
        (24, 8.0, list(range(0, 24, 3))),
        (8, 16.0, sorted([*range(8), *range(8)])),
        (30, 8.0, [0, 4, 8, 11, 15, 19, 22, 26]),
    ],
)
def test_frames_nearest_in_time(tmp_path: Path, fps: int, asked: float, expected: list[int]) -> None:
    write_video(Video(frames=numbered(fps), fps=float(fps)), tmp_path / "a.mp4")  # one second
    found = numbers(read_clip(tmp_path / "a.mp4", (32, 32), asked))
    assert len(found) == len(expected)
    # At a tie either neighbour is nearest.
    assert all(abs(one - two) <= (0 if fps == asked else 1) for one, two in zip(found, expected, strict=True))


def test_variable_rate_keeps_its_times(tmp_path: Path) -> None:
    pictures = [Image.fromarray(frame) for frame in numbered(40)[[0, 10, 20, 30]]]
    pictures[0].save(
        tmp_path / "a.webp",
        save_all=True,
        append_images=pictures[1:],
        duration=[100, 500, 100, 300],
        lossless=True,
    )
    assert numbers(read_clip(tmp_path / "a.webp", (32, 32), 10.0)) == [0, *[10] * 5, 20, *[30] * 3]


def test_fits(tmp_path: Path) -> None:
    """A red stripe down the left side and a blue one down the right of a wide clip."""
    frames = np.full((3, 32, 64, 3), 128, np.uint8)
    frames[:, :, :16], frames[:, :, 48:] = (255, 0, 0), (0, 0, 255)
    video = Video(frames=frames, fps=8.0)
    crop = resize(video, (32, 32), fit="crop").frames
    assert np.abs(crop.astype(int) - 128).max() <= 1  # the stripes are cut off
    boxed = resize(video, (32, 32), fit="letterbox").frames
    assert not boxed[:, :8].any() and not boxed[:, 24:].any() and boxed[0, 16, 1].tolist() == [255, 0, 0]
    squeezed = resize(video, (32, 32), fit="stretch").frames
    assert squeezed[0, 0, 1].tolist() == [255, 0, 0] and squeezed[0, -1, -2].tolist() == [0, 0, 255]
    write_webm(tmp_path / "a.webm", frames)
    with pytest.raises(UserError, match="one of crop, letterbox, stretch"):
        read_clip(tmp_path / "a.webm", (32, 32), 8.0, "squeeze")


@pytest.mark.parametrize("turn", [90, 180, 270])
def test_turned_clips(tmp_path: Path, turn: int) -> None:
    upright = blocks(frames=3)[:, :16]  # twice as wide as high
    lying = np.rot90(upright, k=-turn // 90, axes=(1, 2))
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *lying.shape[1:3], "yuv420p"
        stream.set_display_rotation(turn)
        for frame in lying:
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24"))
            )
        container.mux(stream.encode())
    back = read_clip(tmp_path / "a.mp4", (32, 16), 8.0)
    assert np.abs(back.frames.astype(int) - upright).mean() < 25
    assert read_video(tmp_path / "a.mp4").size == (32, 16)


def test_pixels_that_are_not_square(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = 2  # pyright: ignore[reportAttributeAccessIssue]
        for frame in blocks(frames=2):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    assert read_video(tmp_path / "a.mp4").size == (64, 32)


def test_transparency_is_laid_on_the_colour_asked_for(tmp_path: Path) -> None:
    clear = np.zeros((3, 32, 32, 4), np.uint8)
    clear[:, :, :16] = (255, 0, 0, 255)
    write_webm(tmp_path / "a.webm", clear, "yuva420p")
    pictures = [Image.fromarray(frame) for frame in clear]
    pictures[0].save(tmp_path / "a.webp", save_all=True, append_images=pictures[1:], lossless=True)
    pictures[0].save(tmp_path / "a.png")
    for name, read in (("a.webm", read_video), ("a.png", read_video), ("a.webp", read_video)):
        for colour, level in (("white", 255), ("#000000", 0)):
            frame = read(tmp_path / name, background=colour).frames[0].astype(int)
            assert np.abs(frame[4, 28] - level).max() < 6 and np.abs(frame[4, 4] - [255, 0, 0]).max() < 6
    with pytest.raises(UserError, match="no colour"):
        read_still(tmp_path / "a.png", SIZE, background="reddish")


def test_phone_pictures(tmp_path: Path) -> None:
    """Two views in one JPEG are a still; 16 bits of grey keep their range."""
    views = [Image.fromarray(frame) for frame in blocks(frames=2)]
    views[0].save(tmp_path / "a.jpg", format="MPO", save_all=True, append_images=views[1:])
    assert len(read_still(tmp_path / "a.jpg", SIZE)) == 1
    Image.fromarray(np.linspace(0, 65535, 64).reshape(8, 8).astype(np.uint16)).save(tmp_path / "grey.png")
    assert read_video(tmp_path / "grey.png").frames.mean() == pytest.approx(127, abs=2)


def test_tags_in_another_encoding(tmp_path: Path) -> None:
    write_video(Video(frames=blocks(), fps=8.0), tmp_path / "a.mp4", {"prompt": "Zoe's"})
    data = (tmp_path / "a.mp4").read_bytes()
    (tmp_path / "a.mp4").write_bytes(data.replace(b"Zoe's", b"Zo\xeb's"))
    assert len(read_video(tmp_path / "a.mp4")) == 5


# -- too much -----------------------------------------------------------------------------------------


def gif_of(frames: int, width: int = 1, height: int = 1) -> bytes:
    """A GIF of one-pixel frames on a canvas of this size, 10 ms each."""
    head = b"GIF89a" + width.to_bytes(2, "little") + height.to_bytes(2, "little") + b"\x80\0\0" + bytes(6)
    control = b"\x21\xf9\x04\0\x01\0\0\0"
    return head + (control + b"\x2c\0\0\0\0\x01\0\x01\0\0\x02\x02\x44\x01\0") * frames + b"\x3b"


def many_in_mp4(folder: Path) -> Path:
    with av.open(str(folder / "a.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
        stream.options = {"preset": "ultrafast"}
        frame = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
        for number in range(10_000):
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return folder / "a.mp4"


def many_in_gif(folder: Path) -> Path:
    (folder / "a.gif").write_bytes(gif_of(10_000))
    return folder / "a.gif"


def large_gif(folder: Path) -> Path:
    (folder / "a.gif").write_bytes(gif_of(4, 8000, 8000))
    return folder / "a.gif"


def long_and_large_gif(folder: Path) -> Path:
    (folder / "a.gif").write_bytes(gif_of(3000, 5000, 5000))
    return folder / "a.gif"


def many_in_png(folder: Path) -> Path:
    """A header that promises ten thousand frames."""
    path = write_any(folder, "animated.png")
    data = path.read_bytes()
    place = data.index(b"acTL")
    chunk = b"acTL" + (10_000).to_bytes(4, "big") + data[place + 8 : place + 12]
    path.write_bytes(data[:place] + chunk + zlib.crc32(chunk).to_bytes(4, "big") + data[place + 16 :])
    return path


def slow_gif(folder: Path) -> Path:
    """Two frames that are shown for eleven minutes each: ten thousand at eight a second."""
    (folder / "a.gif").write_bytes(gif_of(2).replace(b"\x21\xf9\x04\0\x01\0", b"\x21\xf9\x04\0\xff\xff"))
    return folder / "a.gif"


TOO_MUCH: dict[str, tuple[Callable[[Path], Path], str]] = {
    "10,000 frames, MP4": (many_in_mp4, "more than 3600 frames"),
    "10,000 frames, GIF": (many_in_gif, "more than 3600 frames"),
    "10,000 frames, PNG": (many_in_png, "more than 3600 frames"),
    "a huge canvas": (large_gif, "too large"),
    "long and large": (long_and_large_gif, "too long for its size"),
    "a long time": (slow_gif, "more than 3600 frames"),
}


@pytest.mark.parametrize(("make", "words"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_too_much_is_refused_early(tmp_path: Path, make: Callable[[Path], Path], words: str) -> None:
    path = make(tmp_path)
    start = time.process_time()
    with pytest.raises(UserError, match=words):
        read_clip(path, (16, 16), 8.0)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_impossible_rates(tmp_path: Path, fps: float) -> None:
    with pytest.raises(UserError, match="Frames per second"):
        read_clip(write_any(tmp_path, "gif"), SIZE, fps)
