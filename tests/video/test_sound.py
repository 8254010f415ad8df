"""Sound that was given is heard where it was put, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from sorairo.types import UserError, Video
from sorairo.video import read_metadata, read_video, write_video
from sorairo.video.sound import RATE, Sound, has_sound, read_sound

CLIP = Video(frames=np.full((16, 32, 32, 3), 90, np.uint8), fps=8.0)  # two seconds


def tone_file(path: Path, hertz: float, seconds: float = 2.0, rate: int = 44_100, codec: str = "aac") -> Path:
    """A clip of two seconds whose sound is a tone in its second half, in mono."""
    count = round(seconds * rate)
    wave = 0.5 * np.sin(2 * np.pi * hertz * np.arange(count) / rate)
    wave[: count // 2] = 0
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264" if path.suffix == ".mp4" else "libvpx-vp9", rate=8)
        assert isinstance(video, av.VideoStream)
        video.width, video.height, video.pix_fmt = 32, 32, "yuv420p"
        audio = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(audio, av.AudioStream)
        for picture in CLIP.frames:
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        chunk = 1024 if codec == "aac" else 960
        for start in range(0, count, chunk):
            part = np.ascontiguousarray(wave[None, start : start + chunk], dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = rate, start
            container.mux(audio.encode(frame))
        container.mux(audio.encode())
    return path


def loudness(path: Path, start: float, stop: float) -> float:
    return float(np.sqrt(np.square(read_sound(path, start, stop)).mean()))


def pitch(path: Path, start: float, stop: float) -> float:
    heard = read_sound(path, start, stop)[0]
    return float(np.abs(np.fft.rfft(heard)).argmax() * RATE / len(heard))


@pytest.mark.parametrize(("name", "rate", "codec"), [("a.mp4", 44_100, "aac"), ("a.webm", 48_000, "libopus")])
def test_kept_where_it_was(tmp_path: Path, name: str, rate: int, codec: str) -> None:
    given = tone_file(tmp_path / name, 600, rate=rate, codec=codec)
    write_video(CLIP, tmp_path / "out.mp4", {"prompt": "a red ball"}, [Sound(path=given)])
    out = tmp_path / "out.mp4"
    assert has_sound(out) and len(read_video(out)) == 16 and read_metadata(out) == {"prompt": "a red ball"}
    assert loudness(out, 0.0, 0.95) < 0.003 < 0.3 < loudness(out, 1.05, 1.95) < 0.4
    assert pitch(out, 1.1, 1.9) == pytest.approx(600, abs=3)
    with av.open(str(out)) as container:
        stream = container.streams.audio[0]
        assert (stream.codec_context.name, stream.rate) == ("aac", RATE)
        assert stream.duration == 2 * RATE  # as long as the pictures


def test_a_part_is_put_elsewhere(tmp_path: Path) -> None:
    """Where the tone begins is found again to five milliseconds."""
    given = tone_file(tmp_path / "a.mp4", 500)
    write_video(CLIP, tmp_path / "out.mp4", None, [Sound(path=given, start=0.75, stop=1.5, at=0.25)])
    out = tmp_path / "out.mp4"
    heard = np.abs(read_sound(out, 0, 2)[0]) > 0.1
    assert np.argmax(heard) / RATE == pytest.approx(0.5, abs=0.005)
    assert (len(heard) - np.argmax(heard[::-1])) / RATE == pytest.approx(1.0, abs=0.005)


def test_parts_of_two_files(tmp_path: Path) -> None:
    one, two = tone_file(tmp_path / "a.mp4", 400), tone_file(tmp_path / "b.mp4", 900)
    parts = [Sound(path=one, start=1.0, stop=1.5), Sound(path=two, start=1.2, stop=2.0, at=1.0)]
    write_video(CLIP, tmp_path / "out.mp4", None, parts)
    out = tmp_path / "out.mp4"
    assert pitch(out, 0.1, 0.4) == pytest.approx(400, abs=4)
    assert loudness(out, 0.55, 0.95) < 0.003
    assert pitch(out, 1.1, 1.7) == pytest.approx(900, abs=4)
    assert loudness(out, 1.85, 2.0) < 0.003


def test_reading_from_the_middle_is_reading_the_whole(tmp_path: Path) -> None:
    given = tone_file(tmp_path / "a.mp4", 500)
    whole, late = read_sound(given, 0.0, 2.0), read_sound(given, 1.2, 1.7)
    expected = whole[:, round(1.2 * RATE) : round(1.7 * RATE)]
    assert late.shape == expected.shape and np.abs(late - expected)[:, 500:].max() < 0.02


def test_what_has_no_sound(tmp_path: Path) -> None:
    write_video(CLIP, tmp_path / "mute.mp4")
    write_video(CLIP, tmp_path / "mute.gif")
    write_video(CLIP, tmp_path / "out.mp4", None, [Sound(path=tmp_path / "mute.mp4")])
    assert not has_sound(tmp_path / "out.mp4") and not has_sound(tmp_path / "mute.gif")
    assert (tmp_path / "out.mp4").read_bytes() == (tmp_path / "mute.mp4").read_bytes()


def test_same_sound_same_file(tmp_path: Path) -> None:
    given = [Sound(path=tone_file(tmp_path / "a.mp4", 500))]
    write_video(CLIP, tmp_path / "b.mp4", None, given)
    write_video(CLIP, tmp_path / "c.mp4", None, given)
    assert (tmp_path / "b.mp4").read_bytes() == (tmp_path / "c.mp4").read_bytes()


def test_other_formats_hold_none(tmp_path: Path) -> None:
    write_video(CLIP, tmp_path / "out.gif", None, [Sound(path=tone_file(tmp_path / "a.mp4", 500))])
    assert len(read_video(tmp_path / "out.gif")) >= 1


@pytest.mark.parametrize("times", [{"start": -1.0}, {"start": 2.0, "stop": 1.0}, {"at": -0.5}])
def test_impossible_times(times: dict[str, float]) -> None:
    with pytest.raises(UserError, match="Sound cannot be taken"):
        Sound(path=Path("a.mp4"), **times)


def test_damaged_sound(tmp_path: Path) -> None:
    """Whatever bytes of the file are flipped: read, or refused in one sentence."""
    data = tone_file(tmp_path / "a.mp4", 500).read_bytes()
    rng = np.random.default_rng(0)
    for number in range(24):
        flipped = bytearray(data)
        for place in rng.integers(len(data), size=1 << number % 4):
            flipped[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "b.mp4").write_bytes(flipped if number % 3 else data[: len(data) * number // 24])
        try:
            write_video(CLIP, tmp_path / "out.mp4", None, [Sound(path=tmp_path / "b.mp4")])
        except UserError as error:
            assert str(error).endswith(".") and "\n" not in str(error)
