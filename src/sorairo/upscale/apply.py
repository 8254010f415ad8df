"""The shipped network on whole clips, and its file."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from sorairo.config import from_dict, to_dict
from sorairo.pixels import from_levels, to_levels
from sorairo.types import UserError, Video
from sorairo.upscale.network import Upscaler, UpscalerConfig, bicubic, halved, with_neighbours

__all__ = ["by_bicubic", "enlarged", "halved_video", "load_upscaler", "save_upscaler"]

WEIGHTS = "weights/x2.safetensors"
AT_ONCE = 2**17
"""Pixels of the small size that are worked on together: 25 MB for each of the network's layers."""


@torch.inference_mode()
def enlarged(video: Video, network: Upscaler, progress: Callable[[int], None] | None = None) -> Video:
    """`video` at twice its size. progress is told how many frames are done."""
    width, height = video.size
    some = max(1, AT_ONCE // (width * height))
    frames = as_model_frames(video.frames)  # t 3 h w
    count = len(frames)
    large = np.empty((count, 2 * height, 2 * width, 3), np.uint8)
    for start in range(0, count, some):
        stop = min(start + some, count)
        first, last = max(start - 1, 0), min(stop + 1, count)
        seen = with_neighbours(frames[first:last])[start - first : stop - first]
        large[start:stop] = as_levels(network(seen))
        if progress:
            progress(stop)
    return Video(frames=large, fps=video.fps)


@torch.inference_mode()
def by_bicubic(video: Video) -> Video:
    """What the network is measured against."""
    return Video(frames=as_levels(bicubic(as_model_frames(video.frames))), fps=video.fps)


def halved_video(video: Video) -> Video:
    """A video of even sides at half its size, each pixel the mean of four."""
    return Video(frames=halved(torch.from_numpy(video.frames)).numpy(), fps=video.fps)


def as_model_frames(frames: np.ndarray) -> torch.Tensor:
    """uint8 (t h w 3) -> t 3 h w in [-1, 1]"""
    return from_levels(torch.from_numpy(np.ascontiguousarray(frames)).permute(0, 3, 1, 2))


def as_levels(frames: torch.Tensor) -> np.ndarray:
    """t 3 h w in [-1, 1] -> uint8 (t h w 3)"""
    return to_levels(frames).permute(0, 2, 3, 1).numpy()


@cache
def load_upscaler(path: Path | None = None) -> Upscaler:
    """The network that ships with the package, or one from a file, in float32. Raises UserError for any other file."""
    path = path or Path(str(files("sorairo.upscale").joinpath(WEIGHTS)))
    try:
        with safe_open(path, framework="pt") as file:
            config = json.loads((file.metadata() or {})["config"])
            tensors = {name: file.get_tensor(name).float() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, json.JSONDecodeError) as error:
        raise UserError(f"{path} is no upscaler; train one with recipes/upscaler.py.") from error
    network = Upscaler(from_dict(UpscalerConfig, config, where=f"{path}: config"))
    network.load_state_dict(tensors)
    return network.eval().requires_grad_(False)


def save_upscaler(network: Upscaler, path: Path) -> None:
    """Write the network in half precision with its config in the metadata."""
    tensors = {name: value.detach().half().contiguous() for name, value in network.state_dict().items()}
    save_file(tensors, path, metadata={"config": json.dumps(to_dict(network.config))})
