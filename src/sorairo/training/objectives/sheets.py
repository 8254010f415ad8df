"""Samples during a run: fixed prompts and seeds, made with a short solver, as one contact sheet.

Legend: b prompts, c channels, t h w latent grid, l words, d width.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from sorairo.flow.guidance import cfg
from sorairo.flow.path import towards
from sorairo.flow.schedule import unipc_sigmas
from sorairo.flow.solvers import unipc
from sorairo.pixels import to_frames
from sorairo.training.rng import torch_rng
from sorairo.transformer.model import Transformer
from sorairo.types import Video
from sorairo.video import contact_sheet, write_video

if TYPE_CHECKING:
    from sorairo.codec.latent_space import LatentSpace
    from sorairo.codec.model import Codec
    from sorairo.text.encoder import TextEncoder, TextStates

__all__ = ["SheetConfig", "decoded", "sheet_latents", "sheet_sampler"]


@dataclass(frozen=True, kw_only=True)
class SheetConfig:
    """The samples: size (width, height), frames, steps, guidance, shift of the noise levels. predicts: see
    DiffusionConfig."""

    size: tuple[int, int] = (96, 96)
    frames: int = 17
    fps: float = 8.0
    steps: int = 16
    guidance: float = 2.0
    shift: float = 3.0
    predicts: Literal["velocity", "data"] = "velocity"


def sheet_sampler(
    codec: Codec | LatentSpace, text: TextEncoder, prompts: Sequence[str], config: SheetConfig
) -> Callable[[Transformer, Path, int], dict[str, float]]:
    """A sampler for Diffusion: writes sheet.png and one .mp4 per prompt. Prompt i always begins at the same noise."""
    asked, empty = text.encode(list(prompts)), text.encode([""])

    def sample(transformer: Transformer, folder: Path, step: int) -> dict[str, float]:
        latents = sheet_latents(transformer, codec, asked, empty, config)
        videos = [decoded(codec, one, config.fps) for one in latents]
        contact_sheet(videos, list(prompts), folder / "sheet.png", columns=2, frames_per=5)
        for index, video in enumerate(videos):
            write_video(video, folder / f"{index:02d}.mp4")
        return {}

    return sample


@torch.inference_mode()
def sheet_latents(
    transformer: Transformer,
    codec: Codec | LatentSpace,
    asked: TextStates,
    empty: TextStates,
    config: SheetConfig,
    first: int = 0,
) -> Tensor:
    """Normalised latents (b c t h w) of the words of b prompts. The first of them begins at noise number `first`."""
    b, (w, h) = len(asked.lengths), config.size
    t = 1 + (config.frames - 1) // codec.time_factor
    shape = (transformer.config.channels, t, h // codec.space_factor, w // codec.space_factor)  # c t h w
    weight = next(transformer.parameters())
    device, dtype = weight.device, weight.dtype
    x = torch.stack([torch.randn(shape, generator=torch_rng(0, first + i, 9)) for i in range(b)])  # b c t h w
    states = torch.cat([asked.states, empty.states.expand(b, -1, -1)])  # 2b l d
    lengths = torch.cat([asked.lengths, empty.lengths.expand(b)])  # 2b
    states = states[:, : int(lengths.max())].to(device, dtype)
    x, lengths = x.to(device), lengths.to(device)

    def velocity(x: Tensor, sigma: float) -> Tensor:
        times = torch.full((2 * b, x.shape[2]), 1000 * sigma, device=device)  # 2b t
        both = transformer(torch.cat([x, x]).to(dtype), times, states, lengths).float()
        if config.predicts == "data":
            both = towards(torch.cat([x, x]), both, sigma)
        with_words, without = both.chunk(2)
        return cfg(with_words, without, config.guidance)

    return unipc(velocity, x, unipc_sigmas(config.steps, config.shift))


@torch.inference_mode()
def decoded(codec: Codec | LatentSpace, latents: Tensor, fps: float) -> Video:
    """Normalised latents (c t h w) -> the Video."""
    weight = next(itertools.chain(codec.parameters(), codec.buffers()))
    pixels = codec.decode(latents[None].to(weight.device, weight.dtype))  # 1 3 t h w
    return Video(frames=to_frames(pixels)[0], fps=fps)
