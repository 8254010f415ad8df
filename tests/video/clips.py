"""Small files of every format that is read, for the tests beside this one."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from PIL import Image

from sorairo.types import Video
from sorairo.video import write_video

FORMATS = ("mp4", "webm", "gif", "webp", "png", "jpg", "animated.webp", "animated.png")
STILLS = ("webp", "png", "jpg")


def blocks(frames: int = 5, side: int = 32) -> np.ndarray:
    """Coloured squares of four pixels, the upper half growing lighter: uint8 (frames side side 3)."""
    small = np.random.default_rng(0).integers(0, 200, (1, side // 4, side // 4, 3)).repeat(frames, axis=0)
    small[:, : side // 8] += 9 * np.arange(frames)[:, None, None, None]
    return small.astype(np.uint8).repeat(4, axis=1).repeat(4, axis=2)


def write_webm(path: Path, frames: np.ndarray, pixels: str = "yuv420p", fps: int = 8) -> None:
    """frames: uint8 (t h w 3), or (t h w 4) with transparency."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx-vp9", rate=fps)
        assert isinstance(stream, av.VideoStream)
        stream.height, stream.width, stream.pix_fmt = *frames.shape[1:3], pixels
        for frame in frames:
            one = av.VideoFrame.from_ndarray(frame, format="rgba" if frame.shape[-1] == 4 else "rgb24")
            container.mux(stream.encode(one.reformat(format=pixels)))
        container.mux(stream.encode())


def write_any(folder: Path, kind: str) -> Path:
    """A clip of 5 frames of 32x32 at 8 a second, or a still, in one of FORMATS."""
    path, frames = folder / f"a.{kind}", blocks()
    pictures = [Image.fromarray(frame) for frame in frames]
    if kind in STILLS:
        pictures[0].save(path)
    elif kind == "webm":
        write_webm(path, frames)
    elif kind == "animated.png":
        pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=125)
    else:
        write_video(Video(frames=frames, fps=8.0), path, {"prompt": "a red ball"})
    return path
