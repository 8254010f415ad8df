"""MP4, WebM, MOV, AVI, GIF and their like as moments, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import av.container
import av.filter
import numpy as np
from av.stream import Disposition
from av.video.reformatter import Interpolation
from PIL import Image

from sorairo.types import UserError
from sorairo.video.formats import format_of
from sorairo.video.guards import MAX_FRAMES, check_extent
from sorairo.video.hdr import HDR, HDR_NOTE, to_standard_range
from sorairo.video.moments import Moment
from sorairo.video.pictures import AT_ONCE, flattened
from sorairo.video.whole import check_whole

__all__ = ["clip_comment", "clip_moments", "clip_notes", "opened", "sound_tracks"]

# swscale's default is a level too dark throughout and has no chroma between samples.
EXACTLY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

# FFmpeg's own decoders of these pass over transparency.
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


@contextmanager
def opened(path: Path) -> Iterator[av.container.InputContainer]:
    """A container, by the demuxer of the format that its first bytes name. It opens nothing but the file itself.

    Tags in another encoding than UTF-8 do not stop it.
    """
    demuxer = format_of(path).demuxer
    with (
        path.open("rb") as file,
        av.open(file, "r", format=demuxer, metadata_errors="replace") as container,
    ):
        yield container


def video_track(path: Path, container: av.container.InputContainer) -> av.VideoStream:
    """The one track of moving pictures; cover art is none. Raises UserError for several, which are not assembled."""
    tracks = [one for one in container.streams.video if not one.disposition & COVER]
    if not tracks:
        raise UserError(f"{path} holds no video track.")
    enabled = [one for one in tracks if one.disposition & Disposition.default]
    if len(tracks) > 1 and len(enabled) == 1:
        return enabled[0]
    if len(tracks) > 1:
        raise UserError(f"{path} holds {len(tracks)} video tracks; export the one that you want to a file.")
    return tracks[0]


COVER = Disposition.attached_pic | Disposition.timed_thumbnails


def clip_moments(path: Path, background: str, most: int | None) -> Iterator[Moment]:
    """The frames of the video track, in the order of their times. Raises UserError and what PyAV raises."""
    check_whole(path, format_of(path))
    with opened(path) as container:
        stream = video_track(path, container)
        if is_cut(path, stream):
            raise UserError(f"{path} is cut short; fetch or export it again.")
        context = stream.codec_context
        count = 1 if most is None else stream.frames or packets(path)
        check_extent(path, context.width, context.height, count, most)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        aspect = float(stream.sample_aspect_ratio or 1)
        first, time, clock = None, 0.0, 0.0
        animation = format_of(path).demuxer == "gif"
        for frame in progressive(decoded(path, container, stream)):
            width = max(1, round(frame.width * aspect))
            check_extent(path, width, frame.height)
            if frame.time is not None:
                first = frame.time if first is None else first
                time = max(time, frame.time - first)  # damaged files go back in time
            length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
            length = length or (1 / rate if rate > 0 else 0.0)
            if animation:  # whose times are no more than the sum of its delays
                time, length = clock, 0.1 if length < AT_ONCE else length
                clock += length
            yield Moment(
                time=time,
                length=length,
                picture=lambda frame=frame, width=width: upright(path, frame, width, background),
            )


def decoded(
    path: Path, container: av.container.InputContainer, stream: av.VideoStream
) -> Iterator[av.VideoFrame]:
    """The frames of a track, with their transparency if it has one.

    Raises UserError where the decoder marks a frame as damaged, or gives far fewer frames than the file has packets of.
    Recordings of broadcasts (MPEG-TS, program streams) begin and break anywhere, so their marks are passed over.
    """
    name = WITH_ALPHA.get(stream.codec_context.name)
    decoder = None
    if stream.metadata.get("alpha_mode") == "1" and name in av.codecs_available:
        decoder = av.CodecContext.create(name, "r")
        assert isinstance(decoder, av.VideoCodecContext)
    else:
        stream.thread_type = "AUTO"
        context = stream.codec_context
        context.thread_count = threads(context.width, context.height)
    demuxer = format_of(path).demuxer
    strict = not demuxer.startswith("mpeg")
    frames, given = 0, 0
    for packet in container.demux(stream):
        given += packet.size > 0 and not packet.is_discard  # such as what an edit list leaves out
        for frame in decoder.decode(packet if packet.size else None) if decoder else packet.decode():
            assert isinstance(frame, av.VideoFrame)
            frames += 1
            if frame.is_corrupt and strict:
                raise damaged(path)
            yield frame
    if demuxer == "avi":  # damaged chunks are skipped, but the header counts them
        given = max(given, stream.frames)
    if strict and frames < FEWEST * given:
        raise damaged(path)


def threads(width: int, height: int) -> int:
    """How many FFmpeg is to use for frames of this size; 0 is a thread for each core.

    It makes and ends them for every file, and to change colours for every frame. For small ones that takes three times
    as long as the work, and waits for busy cores.
    """
    return 1 if width * height < 2**20 else 0


FEWEST = 0.45
"""Frames for each packet of a whole file: two fields may be packets of their own, and some frames are never shown."""


def damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: some of its frames cannot be decoded; fetch or export it again.")


def progressive(frames: Iterator[av.VideoFrame]) -> Iterator[av.VideoFrame]:
    """Frames without the comb of interlaced ones, by FFmpeg's bwdif: one for each that comes in."""
    graph = None
    for frame in frames:
        if graph is None and not frame.interlaced_frame:
            yield frame
            continue
        if graph is None:
            graph = av.filter.Graph()
            source = graph.add_buffer(
                width=frame.width, height=frame.height, format=frame.format, time_base=frame.time_base
            )
            graph.link_nodes(
                source, graph.add("bwdif", "mode=send_frame"), graph.add("buffersink")
            ).configure()
        graph.push(frame)
        yield from pulled(graph)
    if graph is not None:
        graph.push(None)
        yield from pulled(graph)


def pulled(graph: av.filter.Graph) -> Iterator[av.VideoFrame]:
    """All frames that a filter has ready."""
    while True:
        try:
            frame = graph.pull()
        except (BlockingIOError, EOFError):
            return
        assert isinstance(frame, av.VideoFrame)
        yield frame


def packets(path: Path) -> int:
    """How many frames a file holds that does not say so, up to one too many; nothing is decoded."""
    count = 0
    with opened(path) as container:
        for packet in container.demux(video_track(path, container)):
            count += packet.size > 0
            if count > MAX_FRAMES:
                break
    return count


def is_cut(path: Path, stream: av.VideoStream) -> bool:
    """Whether the file ends before its last frame does, by the index in it."""
    size = path.stat().st_size
    return any(entry.pos + entry.size > size for entry in stream.index_entries)


def upright(path: Path, frame: av.VideoFrame, width: int, background: str) -> np.ndarray:
    """One decoded frame as uint8 RGB (h w 3), `width` wide before it is turned as the file says."""
    many = threads(width, frame.height)
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.reformat(width=width, format="rgba", threads=many).to_ndarray()
        picture = flattened(Image.fromarray(rgba), background)
    elif frame.color_trc in HDR:
        wide = frame.reformat(width=width, format="rgb48le", interpolation=EXACTLY, threads=many)
        picture = to_standard_range(wide.to_ndarray(), frame.color_trc)
    else:
        same = frame.reformat(width=width, format="rgb24", interpolation=EXACTLY, threads=many)
        picture = same.to_ndarray()
    matrix = frame.side_data.get("DISPLAYMATRIX")
    return picture if matrix is None else turned(path, picture, np.frombuffer(bytes(matrix), np.int32))


def turned(path: Path, picture: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """A picture (h w 3) turned and mirrored by a display matrix: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12).

    Raises UserError for another angle than a quarter turn.
    """
    (a, b), (c, d) = matrix[[0, 1]].astype(float), matrix[[3, 4]].astype(float)
    if max(abs(b), abs(c)) < 0.01 * min(abs(a), abs(d)):
        down, right = d, a
    elif max(abs(a), abs(d)) < 0.01 * min(abs(b), abs(c)):
        picture, down, right = picture.swapaxes(0, 1), b, c
    else:
        raise UserError(f"{path} is turned by an angle that is no quarter turn; turn it in an editor.")
    return picture[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]


def sound_tracks(container: av.container.InputContainer) -> list[av.AudioStream]:
    """The sound tracks, the one that players choose first."""
    return sorted(container.streams.audio, key=lambda one: not one.disposition & Disposition.default)


def clip_notes(path: Path) -> list[str]:
    """Sentences on what the user may not expect: an end that is not certain, HDR, several sound tracks."""
    notes = []
    kind = format_of(path)
    certain = check_whole(path, kind)
    with opened(path) as container:
        stream = video_track(path, container)
        if not certain:
            ends = [
                float((packet.pts + (packet.duration or 0)) * stream.time_base)
                for packet in container.demux(stream)
                if packet.pts is not None and packet.size and stream.time_base
            ]
            start = float((stream.start_time or 0) * (stream.time_base or 0))
            seconds = max(ends, default=start) - start
            notes.append(
                f"{path}: {kind.name} does not say where this file ends; {seconds:.2f} s of it were found."
            )
        transfer = stream.codec_context.color_trc
        if transfer in HDR:
            notes.append(HDR_NOTE.format(path=path, name=HDR[transfer]))
        if (count := len(container.streams.audio)) > 1:
            notes.append(f"{path} holds {count} sound tracks; the default one is kept.")
    return notes


def clip_comment(path: Path) -> str:
    """The comment among the container's tags; empty if there is none."""
    with opened(path) as container:
        tags = {name.lower(): text for name, text in container.metadata.items()}
        return tags.get("comment", "")
