"""Small films for the tests of data: each of one colour, so that a picture tells which film it is from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from sorairo.data.build.make import Encoders
from sorairo.data.build.settings import Target
from sorairo.data.manifest import Encoding
from sorairo.types import UserError, Video
from sorairo.video import write_video

__all__ = ["ENCODING", "TARGET", "encoders", "film", "frames_of", "write_film"]

TARGET = Target(sizes=((32, 32), (48, 32)), lengths=(9, 5), fps=8.0)
ENCODING = Encoding(
    model="tiny",
    codec="c",
    text="t",
    time_factor=4,
    space_factor=8,
    channels=3,
    text_width=4,
    fps=8.0,
)


def film(hue: int, frames: int = 10, size: tuple[int, int] = (48, 48), seed: int | None = None) -> np.ndarray:
    """uint8 (t h w 3): a square moves over a pattern of its own; red is `hue`, whatever moves."""
    w, h = size
    rng = np.random.default_rng(hue if seed is None else seed)
    coarse = rng.integers(40, 216, (h // 8 + 2, w // 8 + 2))
    ground = np.kron(coarse, np.ones((8, 8), int))[:h, :w]
    made = np.zeros((frames, h, w, 3), np.uint8)
    made[..., 0] = hue
    made[..., 1:] = ground[None, :, :, None]
    for index in range(frames):
        left = (3 * index) % (w - 12)
        made[index, h // 3 : h // 3 + 12, left : left + 12, 1:] = 255 if seed is None else 0
    return made


def write_film(path: Path, frames: np.ndarray, words: str | None = None, fps: float = 8.0) -> None:
    """A lossless enough film, and its caption beside it."""
    write_video(Video(frames=frames, fps=fps), path)
    if words is not None:
        path.with_suffix(".txt").write_text(words + "\n")


def latents(frames: np.ndarray) -> Tensor:
    """The mean colour of every cell of 4 x 8 x 8 (the first frame: 1 x 8 x 8): n 3 t h w."""
    n, t, h, w, _ = frames.shape
    cells = torch.from_numpy(frames).float().view(n, t, h // 8, 8, w // 8, 8, 3).mean((3, 5))  # n t h w c
    rest = cells[:, 1:].view(n, (t - 1) // 4, 4, h // 8, w // 8, 3).mean(2)
    return torch.cat([cells[:, :1], rest], dim=1).permute(0, 4, 1, 2, 3) / 255


def words(sentences: list[str]) -> tuple[Tensor, Tensor]:
    """The lengths of the first words, as states."""
    lengths = torch.tensor([len(sentence.split()) for sentence in sentences])
    states = torch.zeros(len(sentences), int(lengths.max()), 4)
    for row, sentence in enumerate(sentences):
        for place, word in enumerate(sentence.split()):
            states[row, place] = len(word)
    return states, lengths


def check(sentence: str) -> None:
    if len(sentence.split()) > 12:
        raise UserError("The caption is too long; shorten it.")


def encoders() -> Encoders:
    """A codec and a text encoder in closed form."""
    return Encoders(latents=latents, words=words, check=check)


def frames_of(shard: Tensor) -> list[int]:
    """The hue of each clip of latents (n 3 t h w)."""
    return [round(float(one[0].float().mean()) * 255) for one in shard]
