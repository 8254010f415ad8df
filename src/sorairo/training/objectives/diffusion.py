"""The Transformer's objective: rectified flow over latents, each frame with its own noise level.

Legend: b clips, c channels, t h w latent grid, l words, d width of a word's state.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from sorairo.data.loader import Batch, Loader
from sorairo.flow.loss import velocity_loss
from sorairo.flow.path import interpolate, towards
from sorairo.flow.times import TimesConfig, draw_times
from sorairo.training.objectives.alignment import AlignmentConfig, MapHead, MapWatch, object_weight
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.training.rng import torch_rng
from sorairo.transformer.low_rank import folded
from sorairo.transformer.model import Transformer, forward_flops
from sorairo.types import UserError

__all__ = ["Diffusion", "DiffusionConfig"]

Sampler = Callable[[Transformer, Path, int], dict[str, float]]
Exporter = Callable[[Transformer, Path], None]

LEAST = 0.05
"""Noise below which the error of predicted data counts as it does there. Source: see flow.path.towards."""
NOISE = 2  # the stream of random numbers; the loop and the loader have others
CLIPS = 1 << 20  # the first of the streams that belong to the clips of a batch


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """times: which noise levels are drawn; half of the clips have one for all frames, half one per frame.

    align: to the clips' state maps (alignment.py), None: not. predicts: what the transformer gives, the velocity or the
    data; the loss is the velocity's either way. noise: drawn for the whole batch by every process, or for each clip
    by its place in the batch, so that a process draws its share alone; with hundreds of them the first takes longer
    than a step.
    """

    seed: int = 0
    times: TimesConfig = field(default_factory=lambda: TimesConfig(per_frame=0.5, known=0.3, shift=1.5))
    align: AlignmentConfig | None = None
    predicts: Literal["velocity", "data"] = "velocity"
    noise: Literal["batch", "clip"] = "batch"


class Diffusion:
    """An Objective. sampler(transformer, folder, step) -> scores and exporter(transformer, folder) are handed in.

    projection: (d d), through which words are seen (transformer/low_rank.py); folded into what is sampled and exported.
    """

    def __init__(
        self,
        transformer: Transformer,
        loader: Loader,
        config: DiffusionConfig,
        sampler: Sampler,
        exporter: Exporter,
        projection: Tensor | None = None,
    ):
        self.projection = projection
        self.transformer, self.loader, self.config = transformer, loader, config
        self._sampler, self._exporter = sampler, exporter
        if config.align and not loader.config.maps:
            raise UserError(
                "To align to state maps a recipe's loader has to read them: LoaderConfig(maps=True)."
            )
        shape = transformer.config
        self.map_head = MapHead(shape.width, shape.patch_side) if config.align else None

    @property
    def models(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module] = {"transformer": self.transformer}
        return networks if self.map_head is None else {**networks, "map_head": self.map_head}

    def settings(self) -> dict[str, Any]:
        return {
            "transformer": asdict(self.transformer.config),
            "data": asdict(self.loader.config),
            "diffusion": asdict(self.config),
        }

    def batch(self, step: int, share: Share = ALONE) -> Batch:
        return self.loader.batch(step, share.rows)

    def loss(self, batch: Batch, step: int, share: Share = ALONE) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch_rng(self.config.seed, step, NOISE)
        data = batch.latents.float()  # b c t h w
        n, (b, _, t), device = batch.total, data.shape[:3], data.device
        rows = share.rows(n)  # whatever is drawn is drawn for all n clips: a share does not change it
        times = draw_times(n, t, self.config.times, generator)  # n t, n t
        noise = self._noise(n, data.shape[1:], step, rows, generator).to(device)  # b c t h w
        sigma, weights = times.sigma.to(device), times.weight.to(device)  # n t
        there = None if batch.map is None else batch.map.float() / 255  # n k t h w
        if self.config.align and self.config.align.objects and there is not None:
            more = object_weight(there, sigma, self.config.align.objects)
            weights = more * weights[:, None, :, None, None]  # n 1 t h w
        sigma, weight = sigma[rows], weights[rows]
        noisy = interpolate(data, noise, sigma)
        dtype = self.transformer.head.project.weight.dtype
        words, lengths = batch.text.to(dtype), batch.lengths
        if self.projection is not None:
            words = words @ self.projection.to(words)
        watch = None
        if self.map_head is not None and self.config.align:
            assert there is not None
            watch = MapWatch(block=self.config.align.block, head=self.map_head, there=there[rows])
        velocity = self.transformer(noisy.to(dtype), 1000 * sigma, words, lengths, watch=watch)
        if self.config.predicts == "data":
            velocity = towards(noisy, velocity.float(), sigma, LEAST)
        part = share.of * weight.sum() / weights.sum()  # shares differ in how many frames count
        loss = part * velocity_loss(velocity, data, noise, weight)
        if watch is None or watch.loss is None or self.config.align is None:
            return loss, {}
        clips = share.of * b / n
        return loss + self.config.align.weight * clips * watch.loss, {
            "velocity": loss.detach(),
            "maps": watch.loss.detach(),
        }

    def _noise(self, n: int, shape: torch.Size, step: int, rows: slice, generator: torch.Generator) -> Tensor:
        """Those rows of the noise of n clips, the same whichever process draws them."""
        if self.config.noise == "batch":
            return torch.randn((n, *shape), generator=generator)[rows]
        clips = range(n)[rows]
        each = [torch_rng(self.config.seed, step, CLIPS + clip) for clip in clips]
        return torch.stack([torch.randn(shape, generator=one) for one in each])

    def over(self, networks: Mapping[str, nn.Module]) -> Diffusion:
        """The same objective over other networks of the same shapes."""
        other = copy.copy(self)
        other.transformer = cast(Transformer, networks["transformer"])
        other.map_head = cast("MapHead | None", networks.get("map_head"))
        return other

    def count(self, batch: Batch) -> tuple[int, int]:
        b, _, t, h, w = batch.latents.shape
        return b, b * self._tokens(t, h, w)

    def flops(self, batch: Batch) -> float:
        b, _, t, h, w = batch.latents.shape
        words = batch.text.shape[1] + 1
        one = forward_flops(self.transformer.config, tokens=self._tokens(t, h, w), words=words, times=t)
        return 3.0 * b * one

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        return self._sampler(self._plain(), folder, step)

    def export(self, folder: Path) -> None:
        self._exporter(self._plain(), folder)

    def _plain(self) -> Transformer:
        """The transformer as users load it, which takes words as the encoder gives them."""
        return self.transformer if self.projection is None else folded(self.transformer, self.projection)

    def _tokens(self, t: int, h: int, w: int) -> int:
        return t * h * w // self.transformer.config.patch_side**2
