"""MP4, WebM, MOV and GIF as moments, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import av.container
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image

from sorairo.types import UserError
from sorairo.video.guards import MAX_FRAMES, check_extent, is_gif
from sorairo.video.moments import Moment
from sorairo.video.pictures import flattened

__all__ = ["clip_comment", "clip_moments", "opened"]

# swscale's default is a level too dark throughout and has no chroma between samples.
EXACTLY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

# Playlists and the like, which make the demuxer open further files or addresses, are not on it.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,ogg,mpegts,mpeg"

# FFmpeg's own decoders of these pass over transparency.
WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}


def opened(file: BinaryIO) -> av.container.InputContainer:
    """A container that opens nothing but `file`; tags in another encoding than UTF-8 do not stop it."""
    return av.open(file, "r", options={"format_whitelist": DEMUXERS}, metadata_errors="replace")


def clip_moments(path: Path, background: str, most: int) -> Iterator[Moment]:
    """The frames of the first video track, in the order of their times. Raises UserError and what PyAV raises."""
    with path.open("rb") as file, opened(file) as container:
        if not container.streams.video:
            raise UserError(f"{path} holds no video track.")
        stream = container.streams.video[0]
        if is_cut(path, stream):
            raise UserError(f"{path} is cut short; fetch or export it again.")
        context = stream.codec_context
        check_extent(path, context.width, context.height, stream.frames or packets(path), most)
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        aspect = float(stream.sample_aspect_ratio or 1)
        first, time = None, 0.0
        for frame in decoded(container, stream):
            width = max(1, round(frame.width * aspect))
            check_extent(path, width, frame.height)
            if frame.time is not None:
                first = frame.time if first is None else first
                time = max(time, frame.time - first)  # damaged files go back in time
            length = float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
            yield Moment(
                time=time,
                length=length or (1 / rate if rate > 0 else 0.0),
                picture=lambda frame=frame, width=width: upright(frame, width, background),
            )


def decoded(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.VideoFrame]:
    """The frames of a track, with their transparency if it has one."""
    name = WITH_ALPHA.get(stream.codec_context.name)
    if stream.metadata.get("alpha_mode") == "1" and name in av.codecs_available:
        decoder = av.CodecContext.create(name, "r")
        assert isinstance(decoder, av.VideoCodecContext)
        for packet in container.demux(stream):
            yield from decoder.decode(packet if packet.size else None)
        return
    stream.thread_type = "AUTO"
    yield from container.decode(stream)


def packets(path: Path) -> int:
    """How many frames a file holds that does not say so, up to one too many; nothing is decoded."""
    count = 0
    with path.open("rb") as file, opened(file) as container:
        for packet in container.demux(container.streams.video[0]):
            count += packet.size > 0
            if count > MAX_FRAMES:
                break
    return count


def is_cut(path: Path, stream: av.VideoStream) -> bool:
    """Whether the file ends before its last frame does, which decoders pass over in silence."""
    if is_gif(path):
        return not path.read_bytes().rstrip(b"\0").endswith(b";")
    size = path.stat().st_size
    return any(entry.pos + entry.size > size for entry in stream.index_entries)


def upright(frame: av.VideoFrame, width: int, background: str) -> np.ndarray:
    """One decoded frame as uint8 RGB (h w 3), `width` wide before it is turned as the file says."""
    if any(component.is_alpha for component in frame.format.components):
        rgba = frame.reformat(width=width, format="rgba").to_ndarray()
        picture = flattened(Image.fromarray(rgba), background)
    else:
        picture = frame.reformat(width=width, format="rgb24", interpolation=EXACTLY).to_ndarray()
    return np.rot90(picture, k=frame.rotation // 90)


def clip_comment(path: Path) -> str:
    """The comment among the container's tags; empty if there is none."""
    with path.open("rb") as file, opened(file) as container:
        tags = {name.lower(): text for name, text in container.metadata.items()}
        return tags.get("comment", "")
