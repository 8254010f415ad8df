"""Frames of twice the width and height, by a small network that ships in the package; see docs/tasks/upscale.md.

from sorairo.upscale import upscale
upscale(clip.video)
"""

from __future__ import annotations

from collections.abc import Callable

from sorairo.types import UserError, Video

__all__ = ["SCALE", "check_scale", "upscale"]

SCALE = 2
"""The only one there is."""


def upscale(video: Video, scale: int = SCALE, progress: Callable[[int], None] | None = None) -> Video:
    """A video of `scale` times the width and height.

    scale: 2. progress is told how many frames are done. What a frame shows is read from it and the frames beside it, so
    a cut costs nothing and a still is its own neighbour. Raises UserError for another scale.
    """
    check_scale(scale)
    from sorairo.upscale.apply import enlarged, load_upscaler  # torch is not imported before it is needed

    return enlarged(video, load_upscaler(), progress)


def check_scale(scale: int) -> None:
    """Refuse a scale that there is no network for. Raises UserError."""
    if scale != SCALE:
        raise UserError(f"--upscale takes {SCALE}, not {scale}.")
