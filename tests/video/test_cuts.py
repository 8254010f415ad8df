"""Files that were cut off are refused, or said where the format cannot tell: cuts all through every format."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sorairo.types import UserError, Video
from sorairo.video.read import read_notes, read_video
from sorairo.video.write import write_video
from tests.video.clips import blocks


def container(
    path: Path, codec: str, options: dict[str, str] | None = None, sound: str = "", name: str | None = None
) -> Path:
    """Eight frames of 32x32, with sound if a codec for it is named."""
    with av.open(str(path), "w", format=name, options=options or {}) as out:
        stream = out.add_stream(codec, rate=8)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = 32, 32, "yuv420p"
        if codec == "libx264":
            stream.options = {"g": "4"}
        track = out.add_stream(sound, rate=48000, layout="stereo") if sound else None
        for index, frame in enumerate(blocks(frames=8)):
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="yuv420p")
            picture.pts = index
            out.mux(stream.encode(picture))
            if isinstance(track, av.AudioStream):
                noise = np.random.default_rng(index).normal(0, 0.1, (2, 6000)).astype(np.float32)
                heard = av.AudioFrame.from_ndarray(noise, format="fltp", layout="stereo")
                heard.sample_rate, heard.pts = 48000, 6000 * index
                out.mux(track.encode(heard))
        out.mux(stream.encode())
        if isinstance(track, av.AudioStream):
            out.mux(track.encode())
    return path


def picture(path: Path, **options: object) -> Path:
    Image.fromarray(blocks(frames=1)[0]).save(path, **options)  # pyright: ignore[reportArgumentType]
    return path


def animation(path: Path) -> Path:
    pictures = [Image.fromarray(frame) for frame in blocks(frames=6)]
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=125)
    return path


def ours(path: Path) -> Path:
    write_video(Video(frames=blocks(frames=8), fps=8.0), path, {"prompt": "a red ball"})
    return path


FRAGMENTS = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
MAKERS = {
    "webm": lambda folder: container(folder / "a.webm", "libvpx-vp9", sound="libopus"),
    "live webm": lambda folder: container(folder / "a.webm", "libvpx-vp9", {"live": "1"}),
    "mkv": lambda folder: container(folder / "a.mkv", "libx264", sound="aac"),
    "ts": lambda folder: container(folder / "a.ts", "libx264", sound="aac"),
    "mpg": lambda folder: container(folder / "a.mpg", "mpeg4", name="vob"),
    "avi": lambda folder: container(folder / "a.avi", "mpeg4", sound="mp3"),
    "ogv": lambda folder: container(folder / "a.ogv", "libvpx", name="ogg"),
    "mov": lambda folder: container(folder / "a.mov", "libx264"),
    "fragmented mp4": lambda folder: container(folder / "a.mp4", "libx264", FRAGMENTS),
    "mp4": lambda folder: ours(folder / "a.mp4"),
    "gif": lambda folder: ours(folder / "a.gif"),
    "webp": lambda folder: ours(folder / "a.webp"),
    "png": lambda folder: picture(folder / "a.png"),
    "apng": lambda folder: animation(folder / "b.png"),
    "avif": lambda folder: animation(folder / "a.avif"),
    "tiff": lambda folder: picture(folder / "a.tiff"),
    "bmp": lambda folder: picture(folder / "a.bmp"),
    "jp2": lambda folder: picture(folder / "a.jp2"),
}


def outcomes(path: Path, places: int) -> dict[str, int]:
    """How many cuts of a file were refused, read with a note, or passed as if nothing were missing."""
    whole, data = read_video(path), path.read_bytes()
    cut, counts = path.with_stem("cut"), {"refused": 0, "said": 0, "passed": 0}
    for place in np.unique(np.linspace(1, len(data) - 1, places).astype(int)):
        cut.write_bytes(data[:place])
        try:
            video, notes = read_video(cut), read_notes(cut)
        except UserError:
            counts["refused"] += 1
            continue
        same = len(video) == len(whole) and (video.frames == whole.frames).all()
        counts["said" if any("does not say" in note for note in notes) or same else "passed"] += 1
    return counts


@pytest.mark.parametrize("kind", MAKERS)
def test_no_cut_passes(tmp_path: Path, kind: str) -> None:
    counts = outcomes(MAKERS[kind](tmp_path), 24)
    assert counts["passed"] == 0 and counts["refused"] > 0, counts


@pytest.mark.slow
@pytest.mark.parametrize("kind", MAKERS)
def test_no_cut_passes_anywhere(tmp_path: Path, kind: str) -> None:
    assert outcomes(MAKERS[kind](tmp_path), 400)["passed"] == 0


@pytest.mark.parametrize("kind", [kind for kind in MAKERS if kind not in ("ts", "live webm", "mpg")])
def test_whole_files_have_no_note(tmp_path: Path, kind: str) -> None:
    assert read_notes(MAKERS[kind](tmp_path)) == ()


@pytest.mark.parametrize("kind", ["mp4", "mov", "mkv", "webm", "avi"])
def test_bytes_behind_the_end_are_nobodys(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](tmp_path)
    whole = read_video(path)
    with path.open("ab") as file:
        file.write(b"\xff\xfe\x01\x02\x03")
    again = read_video(path)
    assert len(again) == len(whole) and (again.frames == whole.frames).all() and read_notes(path) == ()


@pytest.mark.parametrize("kind", ["mkv", "mov", "avi"])
def test_a_file_whose_second_half_is_zeros_is_damaged(tmp_path: Path, kind: str) -> None:
    path = MAKERS[kind](tmp_path)
    data = path.read_bytes()
    start = data.index(b"mdat") if kind == "mov" else len(data) // 3
    stop = data.index(b"moov") - 8 if kind == "mov" else len(data) * 5 // 6
    first = start + (stop - start) // 3
    path.write_bytes(data[:first] + bytes(stop - first) + data[stop:])
    with pytest.raises(UserError):
        read_video(path)


def test_gif_without_its_last_byte_or_with_more(tmp_path: Path) -> None:
    data = ours(tmp_path / "a.gif").read_bytes()
    whole = read_video(tmp_path / "a.gif")
    for name, changed in {
        "less.gif": data[:-1],
        "more.gif": data + b"x",
        "zeros.gif": data + bytes(9),
    }.items():
        (tmp_path / name).write_bytes(changed)
        video = read_video(tmp_path / name)
        assert len(video) == len(whole) and (video.frames == whole.frames).all()
