"""What a file is, and what of it is shown: first bytes, stills, several pictures, mirrors, HDR, interlacing."""

from __future__ import annotations

import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sorairo.types import UserError, Video
from sorairo.video.clips import pulled, turned
from sorairo.video.formats import OTHERS, format_of
from sorairo.video.hdr import HLG, PQ, pq_signal, to_standard_range
from sorairo.video.read import moves, read_given, read_notes, read_still, read_video
from sorairo.video.write import write_video
from tests.video.clips import blocks

SIZE = (32, 32)
pi_heif = pytest.importorskip("pi_heif")


def smooth() -> np.ndarray:
    """A picture (32 32 3) that no compression hurts."""
    across = np.linspace(20, 220, 32)[None].repeat(32, axis=0)
    return np.stack([across, across.T, np.full((32, 32), 90.0)], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("start", [start for start, _ in OTHERS])
def test_other_formats_are_refused_by_name(tmp_path: Path, start: bytes) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(start + bytes(2000))
    with pytest.raises(UserError, match="is not read here"):
        read_video(path)


def test_flash_video(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "a.mp4"), "w", format="flv") as out:
        stream = out.add_stream("flv", rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        for frame in blocks():
            out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        out.mux(stream.encode())
    with pytest.raises(UserError, match=r"Flash video \(FLV\), which is not read here"):
        read_video(tmp_path / "a.mp4")


@pytest.mark.parametrize("kind", ["bmp", "tiff", "jp2", "avif", "png", "jpg", "webp", "gif"])
def test_every_still_is_one_frame(tmp_path: Path, kind: str) -> None:
    picture = smooth()
    options = {"quality": 95} if kind in ("avif", "jpg", "webp") else {}
    Image.fromarray(picture).save(tmp_path / f"a.{kind}", **options)
    back = read_still(tmp_path / f"a.{kind}", SIZE)
    assert len(back) == 1 and np.abs(back.frames[0].astype(int) - picture).mean() < 8


def test_a_still_that_lasts_is_a_still(tmp_path: Path) -> None:
    picture = Image.fromarray(blocks(frames=1)[0])
    picture.save(tmp_path / "a.gif", duration=500)
    with av.open(str(tmp_path / "a.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=1)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        out.mux(stream.encode(av.VideoFrame.from_image(picture)))
        out.mux(stream.encode())
    for name in ("a.gif", "a.mp4"):
        assert len(read_given(tmp_path / name, SIZE, 8.0)) == 1
        assert len(read_still(tmp_path / name, SIZE)) == 1


@pytest.mark.parametrize("kind", ["webp", "gif", "mp4"])
@pytest.mark.parametrize("count", [2, 9])
def test_a_motionless_clip_stays_a_clip(tmp_path: Path, kind: str, count: int) -> None:
    frames = smooth()[None].repeat(count, axis=0)
    write_video(Video(frames=frames, fps=8.0), tmp_path / f"a.{kind}", {"prompt": "a red ball"})
    assert moves(tmp_path / f"a.{kind}", "white")
    back = read_given(tmp_path / f"a.{kind}", SIZE, 8.0)
    assert len(back) == count and np.abs(back.frames.astype(int) - frames).mean() < 12


HEIC = Path(__file__).with_name("grid.heic")  # four tiles of four colours, as phones write them


def test_tiles_of_a_phone_are_one_picture() -> None:
    frames = read_still(HEIC, (256, 256)).frames
    corners = [frames[0, y, x].tolist() for y in (30, 200) for x in (30, 200)]
    assert frames.shape == (1, 256, 256, 3) and len({tuple(corner) for corner in corners}) == 4


def test_heic_without_the_extra() -> None:
    code = (
        "import sys; sys.modules['pi_heif'] = sys.modules['pillow_heif'] = None\n"
        "from sorairo.video import read_video\n"
        "try: read_video(sys.argv[1])\n"
        "except ValueError as error: print(error)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(HEIC)], capture_output=True, text=True, env=os.environ
    )
    assert 'pip install "sorairo[heic]"' in done.stdout, done.stderr


def test_pages_are_refused(tmp_path: Path) -> None:
    pages = [Image.fromarray(frame) for frame in blocks(frames=3)]
    pages[0].save(tmp_path / "a.tiff", save_all=True, append_images=pages[1:])
    with pytest.raises(UserError, match="holds 3 pictures"):
        read_video(tmp_path / "a.tiff")


def tracks(path: Path, cover: bool) -> Path:
    """A clip with a second video track, or with a cover in front of it."""
    with av.open(str(path), "w") as out:
        one, two = (out.add_stream("mjpeg" if cover and i == 0 else "mpeg4", rate=8) for i in range(2))
        for stream in (one, two):
            assert isinstance(stream, av.VideoStream)
            stream.height, stream.width = 32, 32
            stream.pix_fmt = "yuvj420p" if stream.codec_context.name == "mjpeg" else "yuv420p"
        if cover:
            one.disposition = av.stream.Disposition.attached_pic
        for index, frame in enumerate(blocks()):
            for stream in (one, two) if index == 0 or not cover else (two,):
                assert isinstance(stream, av.VideoStream)
                out.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        for stream in (one, two):
            out.mux(stream.encode())
    return path


def test_two_video_tracks_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="holds 2 video tracks"):
        read_video(tracks(tmp_path / "a.mkv", cover=False))


def test_a_cover_is_no_track(tmp_path: Path) -> None:
    assert len(read_video(tracks(tmp_path / "a.mp4", cover=True))) == 5


@pytest.mark.parametrize("across", [False, True])
@pytest.mark.parametrize(("first", "second"), [(1, 1), (-1, 1), (1, -1), (-1, -1)])
def test_all_eight_orientations(tmp_path: Path, across: bool, first: int, second: int) -> None:
    """Against the definition: the pixel at (x, y) is shown at (a x + c y, b x + d y), moved to begin at 0."""
    a, b, c, d = (0, first, second, 0) if across else (first, 0, 0, second)
    picture = blocks(frames=1)[0][:16]
    height, width = picture.shape[:2]
    ys, xs = np.mgrid[:height, :width]
    to_x, to_y = a * xs + c * ys, b * xs + d * ys
    shown = np.zeros((width, height, 3) if across else (height, width, 3), np.uint8)
    shown[to_y - to_y.min(), to_x - to_x.min()] = picture
    matrix = np.array([a, b, 0, c, d, 0, 0, 0, 1 << 14], np.int32) * 65536
    assert (turned(tmp_path, picture, matrix) == shown).all()


def test_a_mirrored_clip_is_read_mirrored(tmp_path: Path) -> None:
    path, frames = tmp_path / "a.mp4", blocks()
    write_video(Video(frames=frames, fps=8.0), path)
    data = bytearray(path.read_bytes())
    place = data.index(b"tkhd", data.index(b"trak")) + 4 + 40  # the matrix in a track header of version 0
    assert data[place : place + 4] == (65536).to_bytes(4, "big")
    data[place : place + 4] = (-65536).to_bytes(4, "big", signed=True)
    path.write_bytes(data)
    assert np.abs(read_video(path).frames.astype(int) - frames[:, :, ::-1]).mean() < 25


def test_another_angle_is_refused(tmp_path: Path) -> None:
    matrix = np.array([1, 1, 0, -1, 1, 0, 0, 0, 1], np.int32) * 46341
    with pytest.raises(UserError, match="no quarter turn"):
        turned(tmp_path / "a.mp4", blocks(frames=1)[0], matrix)


def test_hidden_picture_of_an_animated_png(tmp_path: Path) -> None:
    hidden, *shown = [Image.fromarray(frame) for frame in blocks(frames=5)]
    hidden.save(tmp_path / "a.png", save_all=True, default_image=True, append_images=shown, duration=250)
    video = read_video(tmp_path / "a.png")
    assert len(video) == 4 and video.fps == 4 and (video.frames == blocks(frames=5)[1:]).all()


def test_standard_range_of_pq() -> None:
    """White of 203 nits is nearly white, greys below the knee of BT.2390 keep their light, highlights differ still."""

    def level(nits: float) -> int:
        signal = np.full((1, 1, 3), 65535 * pq_signal(nits)).round().astype(np.uint16)
        return int(to_standard_range(signal, PQ)[0, 0, 1])

    assert level(50) == pytest.approx(255 * (50 / 203) ** (1 / 2.4), abs=1)
    assert 220 < level(203) < 240 < level(600) <= level(1000) == 255
    assert level(0) == 0


def test_standard_range_of_hlg() -> None:
    """A signal of 0.75 is white in HLG (BT.2408), so both standards agree on it."""
    white = to_standard_range(np.full((1, 1, 3), int(0.75 * 65535), np.uint16), HLG)
    assert white.min() == white.max() and 220 < white.max() < 240


def test_colours_of_wide_gamut() -> None:
    """Red of BT.709, told in BT.2020, comes back as that red."""
    red = np.array([0.627404, 0.069097, 0.016391]) * 20  # BT.2087, nits
    signal = (65535 * pq_signal(red)).round().astype(np.uint16).reshape(1, 1, 3)
    level = round(255 * (20 / 203) ** (1 / 2.4))
    assert np.abs(to_standard_range(signal, PQ)[0, 0].astype(int) - [level, 0, 0]).max() <= 6


def test_an_hdr_clip_is_mapped_and_said(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx265", rate=8, options={"x265-params": "log-level=none"})
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p10le"
        context = stream.codec_context
        context.color_trc, context.color_primaries, context.colorspace, context.color_range = PQ, 9, 9, 1
        level = round(64 + 876 * float(pq_signal(203)))
        for _ in range(3):
            planes = np.full((96, 64), 512, np.uint16)
            planes[:64] = level
            out.mux(stream.encode(av.VideoFrame.from_ndarray(planes, format="yuv420p10le")))
        out.mux(stream.encode())
    assert 222 < read_video(path).frames.mean() < 238
    assert any("HDR10 (PQ)" in note for note in read_notes(path))


def test_interlaced_clips_have_no_comb(tmp_path: Path) -> None:
    """Six frames of a moving bar; the lines of each show two moments, as an old camera has them."""
    path, graph = tmp_path / "a.mkv", av.filter.Graph()
    source = graph.add_buffer(width=64, height=64, format="yuv420p", time_base=Fraction(1, 8))
    graph.link_nodes(source, graph.add("setfield", "mode=tff"), graph.add("buffersink")).configure()
    for index in range(6):
        planes = np.full((96, 64), 128, np.uint8)
        planes[:64] = 16
        planes[0:64:2, 8 * index : 8 * index + 12] = 235
        planes[1:64:2, 8 * index + 4 : 8 * index + 16] = 235
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = index, Fraction(1, 8)
        graph.push(frame)
    graph.push(None)
    with av.open(str(path), "w") as out:
        stream = out.add_stream(
            "mpeg2video", rate=8, options={"flags": "+ildct+ilme", "qmin": "2", "qmax": "2"}
        )
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 64, 64, "yuv420p"
        for frame in pulled(graph):
            assert frame.interlaced_frame
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    with av.open(str(path)) as container:
        combed = np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])

    def comb(frames: np.ndarray) -> float:
        rows = frames[..., 0].astype(int)
        return float(np.abs(rows[:, 1:-1] - (rows[:, :-2] + rows[:, 2:]) / 2).mean())

    frames = read_video(path).frames
    assert len(frames) == len(combed) and comb(frames) < 0.3 * comb(combed)


def test_formats(tmp_path: Path) -> None:
    write_video(Video(frames=blocks(), fps=8.0), tmp_path / "a.mp4")
    assert format_of(tmp_path / "a.mp4").demuxer == "mov"
    write_video(Video(frames=blocks(), fps=8.0), tmp_path / "a.gif")
    (tmp_path / "a.gif").rename(tmp_path / "b.mp4")
    assert format_of(tmp_path / "b.mp4").name == "GIF" and len(read_video(tmp_path / "b.mp4")) == 5
