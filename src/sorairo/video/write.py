"""Frames into files, by the extension: .mp4 .gif .webp .png."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.reformatter import Interpolation
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sorairo.files import check_folder, replacing
from sorairo.types import UserError, Video
from sorairo.video.sheet import frames_sheet
from sorairo.video.sound import Sound, mixed, sound_packets
from sorairo.video.whole import repeat_image

__all__ = ["EXTENSIONS", "check_writable", "write_video"]

BT709 = 1
LIMITED_RANGE = 1


def write_video(
    video: Video,
    path: str | Path,
    metadata: dict[str, Any] | None = None,
    sounds: Sequence[Sound] = (),
    track: np.ndarray | None = None,
    seal: Callable[[Path], None] | None = None,
) -> None:
    """Write `video` to `path`, whole or not at all.

    .mp4: H.264, yuv420p, the index in front (plays in a browser while it loads); .gif, .webp: looping; .png:
    the frame, or for a clip all frames as a sheet. metadata: any JSON values, kept in the file as its comment
    (`read_metadata` returns them). sounds: parts of other files' sound, as AAC in an .mp4 (the others hold
    none); files without sound are passed over. track: sound that was mixed before, in their place. seal: is given
    the finished file, still under a temporary name, and may change it (a signature). Raises UserError for another
    extension and for a place that cannot be written.
    """
    path = Path(path)
    check_writable(path)
    comment = json.dumps(metadata) if metadata else ""
    kind = path.suffix.lower()
    if kind != ".mp4":
        track = None
    elif track is None:
        track = mixed(sounds, len(video) / video.fps)
    with replacing(path) as temporary:
        if track is not None:
            write_mp4(video, temporary, comment, track)
        else:
            WRITERS[kind](video, temporary, comment)
        if seal:
            seal(temporary)


def check_writable(path: str | Path) -> None:
    """Raise UserError for a name that `write_video` would refuse, before the work is done."""
    path = Path(path)
    if path.suffix.lower() not in WRITERS:
        raise UserError(f"{path} must end in one of {' '.join(WRITERS)}.")
    check_folder(path)


def write_mp4(video: Video, path: Path, comment: str, track: np.ndarray | None = None) -> None:
    frames = even(video.frames)
    height, width = frames.shape[1:3]
    with av.open(str(path), "w", format="mp4", options={"movflags": "+faststart"}) as container:
        if comment:
            container.metadata["comment"] = comment
        stream = container.add_stream("libx264", rate=Fraction(video.fps).limit_denominator(1001))
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        # A constant quantiser: with crf, the look-ahead reads memory that nobody wrote, and on some processors equal
        # frames gave unequal files (docs/log.md).
        stream.options = {"qp": "13", "preset": "slow", "tune": "animation"}
        context = stream.codec_context
        context.thread_count = 1  # the same files whatever the number of processors
        context.color_primaries = context.color_trc = context.colorspace = BT709
        context.color_range = LIMITED_RANGE
        packets = [] if track is None else sound_packets(container, track)
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame = frame.reformat(
                format="yuv420p",
                dst_colorspace=BT709,
                dst_color_range=LIMITED_RANGE,
                interpolation=Interpolation.BICUBIC | Interpolation.ACCURATE_RND,
            )
            packets += stream.encode(frame)
        packets += stream.encode()
        container.mux(
            sorted(packets, key=moment)
        )  # both tracks side by side, so that it plays while it loads


def moment(packet: av.Packet) -> float:
    """When a packet is wanted, in seconds."""
    time = packet.dts if packet.dts is not None else packet.pts
    return float((time or 0) * packet.time_base)


def even(frames: np.ndarray) -> np.ndarray:
    """An odd last row or column repeated: 4:2:0 chroma has one sample for two pixels each way."""
    _, h, w, _ = frames.shape
    return np.pad(frames, ((0, 0), (0, h % 2), (0, w % 2), (0, 0)), mode="edge")


def write_gif(video: Video, path: Path, comment: str) -> None:
    # One palette for all frames: a palette per frame makes still backgrounds flicker.
    w, _ = video.size
    palette = Image.fromarray(video.frames.reshape(-1, w, 3)).quantize(256, Image.Quantize.MEDIANCUT)
    pictures = [
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        for frame in video.frames
    ]
    save_animation(pictures, path, durations(video, unit=10), comment=comment.encode())
    if len(video) > 1 and frames_in(path) == 1:  # equal frames became one, which would be read as a still
        path.write_bytes(repeat_image(path.read_bytes()))


def write_webp(video: Video, path: Path, comment: str) -> None:
    exif = Image.Exif()
    if comment:
        exif[0x010E] = comment  # ImageDescription
    pictures = [Image.fromarray(frame) for frame in video.frames]
    lengths = durations(video, unit=1)
    save_animation(pictures, path, lengths, quality=92, method=4, exif=exif)
    if len(video) > 1 and frames_in(path) == 1:  # as for GIF
        pictures[0].save(path, quality=92, method=4)
        path.write_bytes(animated_webp(path.read_bytes(), video.size, sum(lengths), exif.tobytes()))


def frames_in(path: Path) -> int:
    """How many pictures a file holds that was just written."""
    with Image.open(path) as image:
        return getattr(image, "n_frames", 1)


def animated_webp(still: bytes, size: tuple[int, int], length: int, exif: bytes) -> bytes:
    """A WebP that shows one still twice, together `length` milliseconds (RFC 9649)."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return name + len(content).to_bytes(4, "little") + content + b"\0" * (len(content) % 2)

    extent = b"".join((side - 1).to_bytes(3, "little") for side in size)
    shown = (length // 2, length - length // 2)
    frames = [bytes(6) + extent + time.to_bytes(3, "little") + b"\2" + still[12:] for time in shown]
    parts = [
        chunk(b"VP8X", bytes([0x02 | (0x08 if exif else 0), 0, 0, 0]) + extent),
        chunk(b"ANIM", b"\xff\xff\xff\xff\0\0"),
        *(chunk(b"ANMF", frame) for frame in frames),
        chunk(b"EXIF", exif) if exif else b"",
    ]
    return chunk(b"RIFF", b"WEBP" + b"".join(parts))


def save_animation(pictures: list[Image.Image], path: Path, lengths: list[int], **options: Any) -> None:
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=lengths, loop=0, **options)


def durations(video: Video, unit: int) -> list[int]:
    """Milliseconds per frame in steps of `unit`, whose sum stays true (GIF counts in hundredths)."""
    ends = np.round(np.arange(len(video) + 1) * 1000 / video.fps / unit) * unit
    return [int(length) for length in np.diff(ends)]


def write_png(video: Video, path: Path, comment: str) -> None:
    info = PngInfo()
    if comment:
        info.add_itxt("comment", comment)
    image = Image.fromarray(video.frames[0]) if len(video) == 1 else frames_sheet(video)
    image.save(path, pnginfo=info, optimize=True)


WRITERS = {".mp4": write_mp4, ".gif": write_gif, ".webp": write_webp, ".png": write_png}
EXTENSIONS = tuple(WRITERS)
