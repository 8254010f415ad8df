"""Previews: by the linear map where there is one, else by the codec."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sorairo.checkpoints.find import find_folder
from sorairo.checkpoints.folder import load_checkpoint, load_codec
from sorairo.pixels import to_frames
from sorairo.serving.preview import foreseen, save_preview
from sorairo.types import Video


def moving(frames: int = 9) -> torch.Tensor:
    """A red disc that moves over cream, 1 3 t h w in [-1, 1]."""
    y, x = np.mgrid[0:64, 0:64]
    clip = np.full((frames, 64, 64, 3), (240, 230, 210), np.float32)
    for index in range(frames):
        clip[index][(x - 16 - 3 * index) ** 2 + (y - 32) ** 2 < 144] = (200, 40, 40)
    return torch.from_numpy(clip / 127.5 - 1).permute(3, 0, 1, 2)[None]


def test_the_shipped_map_shows_what_the_codec_shows(tiny_folder: Path) -> None:
    folder = find_folder("default")
    codec, clip = load_codec(folder / "vae", torch.float32), moving()
    with torch.inference_mode():
        latents = codec.encode(clip)
        whole = to_frames(codec.decode(latents))[0].astype(float)
    model = replace(load_checkpoint(tiny_folder), folder=folder, codec=codec)
    video = foreseen(model, latents)
    assert video.frames.shape == (9, 64, 64, 3)
    assert 10 * np.log10(255**2 / ((video.frames - whole) ** 2).mean()) > 25


def test_another_model_shows_its_first_frame(tiny_folder: Path, tmp_path: Path) -> None:
    model = load_checkpoint(tiny_folder)
    video = foreseen(model, torch.zeros(1, model.codec.config.z_dim, 3, 4, 4))
    assert len(video) == 1
    save_preview(video, tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as picture:
        assert picture.format == "WEBP"


@pytest.mark.parametrize("frames", [1, 9])
def test_a_preview_moves(frames: int, tmp_path: Path) -> None:
    shown = to_frames(moving(frames))[0]
    save_preview(Video(frames=shown, fps=8.0), tmp_path / "a.webp")
    with Image.open(tmp_path / "a.webp") as picture:
        assert getattr(picture, "n_frames", 1) == frames
