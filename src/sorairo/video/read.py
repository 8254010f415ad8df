"""Files into frames: MP4, WebM, MOV, GIF through PyAV; PNG, JPEG, WebP through Pillow."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.container
import av.error
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image, ImageOps, UnidentifiedImageError

from sorairo.types import UserError, Video

__all__ = ["read_metadata", "read_video"]

MAX_FRAMES = 3600
MAX_PIXELS = 2**25
"""Pixels of one frame: a little over 7680x4320."""
MAX_BYTES = 2**31
"""Bytes of all frames together, as RGB."""

# All that the two libraries are known to raise for a damaged file.
UNREADABLE = (av.error.FFmpegError, UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError)

# swscale's default is a level too dark throughout and has no chroma between samples.
EXACTLY = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT

# Playlists and the like, which make the demuxer open further files or addresses, are not on it.
DEMUXERS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,gif,avi,ogg,mpegts,mpeg"


def read_video(path: str | Path, *, max_frames: int = MAX_FRAMES) -> Video:
    """The frames of a clip or a still, upright, with transparency laid on white.

    A still is one frame at 1 frame per second; a variable frame rate becomes its average. What the file is,
    its first bytes say, not its name. Raises UserError for a file that is missing, broken, empty or too large.
    """
    path = checked(Path(path))
    try:
        frames, fps = (read_picture if is_picture(path) else read_clip)(path, max_frames)
    except UserError:
        raise
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as a video or a picture; it may be damaged.") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"{path} is too large a picture; make it smaller than 8K.") from error
    return Video(frames=frames, fps=fps)


def read_metadata(path: str | Path) -> dict[str, Any]:
    """What `write_video` was given as metadata; empty when the file holds none. Raises as `read_video`."""
    path = checked(Path(path))
    try:
        text = picture_comment(path) if is_picture(path) or is_gif(path) else clip_comment(path)
        values = json.loads(text) if text else {}
    except json.JSONDecodeError:
        return {}
    except UNREADABLE as error:
        raise UserError(f"{path} cannot be read as a video or a picture; it may be damaged.") from error
    return values if isinstance(values, dict) else {}


# -- clips -----------------------------------------------------------------------------------------


def read_clip(path: Path, max_frames: int) -> tuple[np.ndarray, float]:
    """Frames (t h w 3) and frames per second of the first video track."""
    with path.open("rb") as file, opened(file) as container:
        if not container.streams.video:
            raise UserError(f"{path} holds no video track.")
        stream = container.streams.video[0]
        if is_cut(path, stream):
            raise UserError(f"{path} is cut short; fetch or export it again.")
        stream.thread_type = "AUTO"
        times: list[float] = []

        def pictures() -> Iterator[np.ndarray]:
            for frame in container.decode(stream):
                if frame.time is not None:
                    times.append(frame.time)
                check_pixels(path, frame.width, frame.height)
                yield np.rot90(rgb(frame), k=frame.rotation // 90)

        frames = gathered(path, pictures(), max_frames)
        declared = float(stream.average_rate or stream.guessed_rate or 0)
    return frames, average_fps(times) or declared or 1.0


def is_cut(path: Path, stream: av.VideoStream) -> bool:
    """Whether the file ends before its last frame does, which decoders pass over in silence."""
    if is_gif(path):
        return not path.read_bytes().rstrip(b"\0").endswith(b";")
    size = path.stat().st_size
    return any(entry.pos + entry.size > size for entry in stream.index_entries)


def opened(file: BinaryIO) -> av.container.InputContainer:
    return av.open(file, "r", options={"format_whitelist": DEMUXERS})


def rgb(frame: av.VideoFrame) -> np.ndarray:
    """One decoded frame as uint8 (h w 3)."""
    if any(component.is_alpha for component in frame.format.components):
        return flattened(Image.fromarray(frame.to_ndarray(format="rgba")))
    return frame.reformat(format="rgb24", interpolation=EXACTLY).to_ndarray()


def average_fps(times: list[float]) -> float:
    """Frames per second from the moments of the frames in seconds; 0 when they do not say."""
    length = max(times) - min(times) if len(times) > 1 else 0.0
    return (len(times) - 1) / length if length > 0 else 0.0


def clip_comment(path: Path) -> str:
    with path.open("rb") as file, opened(file) as container:
        tags = {name.lower(): text for name, text in container.metadata.items()}
        return tags.get("comment", "")


# -- pictures --------------------------------------------------------------------------------------


def read_picture(path: Path, max_frames: int) -> tuple[np.ndarray, float]:
    """Frames (t h w 3) and frames per second of a still or an animated PNG or WebP."""
    with Image.open(path) as image:
        check_pixels(path, *image.size)
        count = getattr(image, "n_frames", 1)
        durations: list[float] = []

        def pictures() -> Iterator[np.ndarray]:
            for index in range(count):
                image.seek(index)
                image.load()
                durations.append(image.info.get("duration", 0) / 1000)
                yield flattened(ImageOps.exif_transpose(image))

        frames = gathered(path, pictures(), max_frames)
    length = sum(durations)
    return frames, len(frames) / length if count > 1 and length > 0 else 1.0


def flattened(image: Image.Image) -> np.ndarray:
    """A picture of any mode as uint8 (h w 3), transparency laid on white."""
    if image.mode == "P" or "A" in image.getbands() or "transparency" in image.info:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.asarray(image.convert("RGB"))


def picture_comment(path: Path) -> str:
    with Image.open(path) as image:
        comment = image.info.get("comment") or image.getexif().get(0x010E, "")  # 0x010E: ImageDescription
        return comment.decode("utf-8", "replace") if isinstance(comment, bytes) else str(comment)


# -- guards ----------------------------------------------------------------------------------------


def checked(path: Path) -> Path:
    if not path.exists():
        raise UserError(f"{path} does not exist.")
    if not path.is_file():
        raise UserError(f"{path} is not a file; give the name of a video or a picture.")
    if path.stat().st_size == 0:
        raise UserError(f"{path} is empty.")
    return path


def is_picture(path: Path) -> bool:
    head = first_bytes(path)
    return head.startswith((b"\x89PNG", b"\xff\xd8\xff")) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def is_gif(path: Path) -> bool:
    return first_bytes(path).startswith(b"GIF8")


def first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def check_pixels(path: Path, width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise UserError(f"{path} is {width}x{height}, which is too large; make it smaller than 8K.")


def gathered(path: Path, pictures: Iterable[np.ndarray], max_frames: int) -> np.ndarray:
    """Frames (t h w 3), counted and weighed while they come so that a huge file stops early."""
    frames: list[np.ndarray] = []
    size = 0
    for picture in pictures:
        frames.append(picture)
        size += picture.nbytes
        if len(frames) > max_frames:
            raise UserError(f"{path} has more than {max_frames} frames; cut it to fewer.")
        if size > MAX_BYTES:
            raise UserError(f"{path} is too long for its size; cut it or make it smaller.")
    if not frames:
        raise UserError(f"{path} holds no frames.")
    if any(one.shape != two.shape for one, two in pairwise(frames)):
        raise UserError(f"{path} changes its size on the way; convert it to one size.")
    return np.stack(frames)
