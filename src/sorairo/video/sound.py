"""Sound that is kept: parts of other files' sound, laid on a clip's timeline and encoded beside it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import av
import av.audio.resampler
import av.container
import numpy as np

from sorairo.types import UserError
from sorairo.video.clips import opened, sound_tracks
from sorairo.video.formats import format_of
from sorairo.video.guards import checked, decoding

__all__ = ["RATE", "Sound", "has_sound", "mixed", "read_sound", "sound_packets"]

RATE = 48_000
"""Samples a second of every track that is written."""
FADE = 240
"""Samples, 5 ms, over which a part comes in and goes out, so that no cut clicks."""
LEAD = 0.25
"""Seconds decoded before the start of a part: the first samples after a jump are not right yet."""
CHUNK = 1024  # samples of an AAC frame


@dataclass(frozen=True, kw_only=True)
class Sound:
    """A part of a file's sound and its place. start, stop: seconds in the file (None: its end); at: in the clip."""

    path: Path
    start: float = 0.0
    stop: float | None = None
    at: float = 0.0

    def __post_init__(self) -> None:
        stop = math.inf if self.stop is None else self.stop
        if not (0 <= self.start < stop and 0 <= self.at < math.inf):
            raise UserError(
                f"Sound cannot be taken from {self.start:g} s to {stop:g} s and put at {self.at:g} s;"
                " times are not negative, and the end comes after the start."
            )


def has_sound(path: str | Path) -> bool:
    """Whether a file has a sound track. Raises UserError for a file that cannot be read."""
    path = checked(Path(path))
    if format_of(path).demuxer in ("", "gif"):
        return False
    with decoding(path), opened(path) as container:
        return bool(container.streams.audio)


def mixed(sounds: Sequence[Sound], seconds: float) -> np.ndarray | None:
    """All parts laid over silence of `seconds`: float32 (2 n) at RATE in [-1, 1]; None if no file has sound."""
    heard = [sound for sound in sounds if has_sound(sound.path)]
    if not heard:
        return None
    track = np.zeros((2, round(seconds * RATE)), np.float32)
    for sound in heard:
        room = track[:, round(sound.at * RATE) :]
        stop = min(math.inf if sound.stop is None else sound.stop, sound.start + room.shape[1] / RATE)
        part = faded(read_sound(sound.path, sound.start, stop))[:, : room.shape[1]]
        room[:, : part.shape[1]] += part
    return track.clip(-1, 1)


def faded(part: np.ndarray) -> np.ndarray:
    """A part (2 n) that begins and ends in silence."""
    length = min(FADE, part.shape[1] // 2)
    ramp = np.linspace(0, 1, length, endpoint=False, dtype=np.float32)
    part[:, :length] *= ramp
    part[:, part.shape[1] - length :] *= ramp[::-1]
    return part


def read_sound(path: Path, start: float, stop: float) -> np.ndarray:
    """The first sound track from `start` to `stop` seconds: float32 (2 n) at RATE, silence where it has none.

    n is less where the file ends before. Time runs as for the frames, from the first of them. Raises UserError.
    """
    parts: list[np.ndarray] = []
    with decoding(path), opened(path) as container:
        zero = first_moment(container)
        if start > 2 * LEAD:
            container.seek(round((zero + start - LEAD) * av.time_base))
        place, end = 0, round((stop - start) * RATE) if stop < math.inf else None
        for frame in at_our_rate(container):
            assert frame.time is not None
            samples = np.broadcast_to(frame.to_ndarray(), (2, frame.samples))
            begin = round((frame.time - zero - start) * RATE)
            if abs(begin - place) <= CHUNK and place:  # rounding of times is no gap
                begin = place
            samples, begin = samples[:, max(0, place - begin) :], max(begin, place)
            if end is not None and begin >= end:
                break
            if begin - place > RATE * 3600:
                raise UserError(f"{path} has a gap of an hour in its sound; cut it.")
            parts += [np.zeros((2, begin - place), np.float32), samples]
            place = begin + samples.shape[1]
    whole = np.concatenate(parts, axis=1) if parts else np.zeros((2, 0), np.float32)
    return whole[:, :end]


def first_moment(container: av.container.InputContainer) -> float:
    """When the first frame is shown, in seconds of the container's own time."""
    stream = (*container.streams.video, *container.streams.audio)[0]
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base)


def at_our_rate(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """Decoded sound at RATE, with its times: one channel as it is (made two, it would lose 3 dB), more as stereo."""
    stream = sound_tracks(container)[0]
    layout = "mono" if stream.codec_context.channels == 1 else "stereo"
    resampler = av.audio.resampler.AudioResampler(format="fltp", layout=layout, rate=RATE)
    for frame in chain(container.decode(stream), [None]):
        yield from (one for one in resampler.resample(frame) if one.time is not None)


def sound_packets(container: av.container.OutputContainer, track: np.ndarray) -> list[av.Packet]:
    """Adds an AAC track to a container that nothing was written to, and gives its packets. track: (2 n) at RATE."""
    stream = container.add_stream("aac", rate=RATE, layout="stereo")
    assert isinstance(stream, av.AudioStream)
    stream.bit_rate = 160_000
    packets: list[av.Packet] = []
    for start in range(0, track.shape[1], CHUNK):
        samples = np.ascontiguousarray(track[:, start : start + CHUNK])
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
        frame.sample_rate, frame.pts = RATE, start
        packets += stream.encode(frame)
    return packets + stream.encode()
