"""The Transformer's objective: rectified flow over latents, each frame with its own noise level.

Legend: b clips, c channels, t h w latent grid, l words, d width of a word's state.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

import torch
from torch import Tensor, nn

from sorairo.codec.latent_space import LatentSpace
from sorairo.data.loader import Batch, Loader
from sorairo.data.packs import MixedBatch
from sorairo.flow.loss import velocity_loss
from sorairo.flow.path import interpolate, towards
from sorairo.flow.times import TimesConfig, draw_times
from sorairo.scenes.embedding import SceneEmbedding
from sorairo.scenes.tracks import PLACE, Tracks
from sorairo.training.objectives.alignment import (
    AlignmentConfig,
    MapHead,
    MapWatch,
    MixedMapWatch,
    object_weight,
)
from sorairo.training.parallel.processes import ALONE, Share
from sorairo.training.rng import torch_rng
from sorairo.transformer.low_rank import folded
from sorairo.transformer.model import Transformer, forward_flops
from sorairo.types import UserError

__all__ = ["Diffusion", "DiffusionConfig"]

Sampler = Callable[[Transformer, Path, int], dict[str, float]]
Exporter = Callable[..., None]

LEAST = 0.05
"""Noise below which the error of predicted data counts as it does there. Source: see flow.path.towards."""
NOISE, SCENES = 2, 5  # the streams of random numbers; the loop, the loader and other objectives have others
SHAKE = 0.05  # deviation of the noise on the places of a scene: those that are drawn are not as exact
CLIPS = 1 << 20  # the first of the streams that belong to the clips of a batch


@dataclass(frozen=True, kw_only=True)
class DiffusionConfig:
    """times: which noise levels are drawn; half of the clips have one for all frames, half one per frame.

    align: to the clips' state maps (alignment.py), None: not. predicts: what the transformer gives, the velocity or the
    data; the loss is the velocity's either way. noise: drawn for the whole batch by every process, or for each clip
    by its place in the batch, so that a process draws its share alone; with hundreds of them the first takes longer
    than a step. scene: the share of clips whose scene the transformer is shown, None: of none.
    objects: how much more the surroundings of their objects count in the loss than the rest; the transformer is told
    where these are, so what it should predict stays the same mean.
    """

    seed: int = 0
    times: TimesConfig = field(default_factory=lambda: TimesConfig(per_frame=0.5, known=0.3, shift=1.5))
    align: AlignmentConfig | None = None
    predicts: Literal["velocity", "data"] = "velocity"
    noise: Literal["batch", "clip"] = "batch"
    scene: float | None = None
    objects: float = 0.0


class Diffusion:
    """An Objective. sampler(transformer, folder, step) -> scores and exporter(transformer, folder) are handed in.
    With scenes the exporter has `scene`, the embedding, as a keyword too.

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
        space: LatentSpace | None = None,
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
        self.scene = None
        if config.scene is not None:
            assert space is not None, "a scene's sketch is seen in the space of the latents"
            self.scene = SceneEmbedding(shape.width, shape.patch_side, space)
        if self.scene is not None and (not loader.config.scenes or loader.config.packed):
            raise UserError(
                "To show a transformer scenes a recipe's loader has to read them, from clips of one shape: "
                "LoaderConfig(scenes=True, packed=False)."
            )

    @property
    def models(self) -> dict[str, nn.Module]:
        networks: dict[str, nn.Module | None] = {
            "transformer": self.transformer,
            "map_head": self.map_head,
            "scene_embedding": self.scene,
        }
        return {name: network for name, network in networks.items() if network is not None}

    def settings(self) -> dict[str, Any]:
        return {
            "transformer": asdict(self.transformer.config),
            "data": asdict(self.loader.config),
            "diffusion": asdict(self.config),
        }

    def batch(self, step: int, share: Share = ALONE) -> Batch | MixedBatch:
        make = self.loader.mixed if self.loader.config.packed else self.loader.batch
        return make(step, share.rows)

    def loss(
        self, batch: Batch | MixedBatch, step: int, share: Share = ALONE
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if isinstance(batch, MixedBatch):
            return self._mixed_loss(batch, step, share)
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
        scene = self._scenes(batch, step)
        if scene is not None:
            near = SceneEmbedding.near(scene).to(device)  # n t h w
            weights = weights.view(n, 1, t, *[1] * 2) if weights.ndim == 2 else weights
            weights = weights * (1 + self.config.objects * near)[:, None]
        sigma, weight = sigma[rows], weights[rows]
        noisy = interpolate(data, noise, sigma)
        dtype = self.transformer.head.project.weight.dtype
        words, lengths = self._seen(batch.text, dtype), batch.lengths
        watch = None
        if self.map_head is not None and self.config.align:
            assert there is not None
            watch = MapWatch(block=self.config.align.block, head=self.map_head, there=there[rows])
        beside = None if self.scene is None or scene is None else self.scene(scene[rows])
        velocity = self.transformer(noisy.to(dtype), 1000 * sigma, words, lengths, scene=beside, watch=watch)
        if self.config.predicts == "data":
            velocity = towards(noisy, velocity.float(), sigma, LEAST)
        part = share.of * weight.sum() / weights.sum()  # shares differ in how many frames count
        loss = part * velocity_loss(velocity, data, noise, weight)
        return self._with_maps(loss, watch, share.of * b / n)

    def _scenes(self, batch: Batch, step: int) -> Tensor | None:
        """What is seen of each clip's scene (n m t h w), zero for those that are shown none."""
        if self.scene is None or self.config.scene is None or batch.scene is None:
            return None
        generator = torch_rng(self.config.seed, step, SCENES)
        scene = batch.scene.cpu().float()
        shown = torch.rand(len(scene), generator=generator) < self.config.scene
        shake = SHAKE * torch.randn((len(scene), PLACE, 1, *scene.shape[3:]), generator=generator)
        tracks = Tracks.decode(torch.cat([scene[:, :PLACE] + shake, scene[:, PLACE:]], 1))
        seen = self.scene.look(tracks, (batch.latents.shape[3], batch.latents.shape[4]))
        return seen * shown[:, None, None, None, None]

    def _mixed_loss(self, batch: MixedBatch, step: int, share: Share) -> tuple[Tensor, dict[str, Tensor]]:
        """loss() for clips of mixed shapes: the mean over all positions of all clips."""
        config, device = self.config, batch.lengths.device
        generator = torch_rng(config.seed, step, NOISE)
        drawn = [draw_times(1, t, config.times, generator) for t, _, _ in batch.shapes]  # of all n clips
        sigmas = [one.sigma.to(device) for one in drawn]  # 1 t each
        weights = [
            self._weight(batch, place, one.weight.to(device), sigmas[place])
            for place, one in enumerate(drawn)
        ]
        data = [clip[None].float() for clip in batch.latents]  # 1 c t h w each
        noise = [
            self._own_noise(clip.shape[1:], step, at).to(device)
            for clip, at in zip(data, batch.places, strict=True)
        ]
        sigma = [sigmas[place] for place in batch.places]
        noisy = [interpolate(*three) for three in zip(data, noise, sigma, strict=True)]
        dtype = self.transformer.head.project.weight.dtype
        positions = [t * h * w for t, h, w in batch.shapes]
        parts = [share.of * positions[place] / sum(positions) for place in batch.places]
        watch = None
        if self.map_head is not None and config.align:
            assert batch.maps is not None
            there = [batch.maps[place][None].float() / 255 for place in batch.places]
            watch = MixedMapWatch(block=config.align.block, head=self.map_head, there=there, parts=parts)
        said = self.transformer(
            [clip[0].to(dtype) for clip in noisy],
            1000 * torch.cat([one[0] for one in sigma]),
            self._seen(batch.text, dtype),
            batch.lengths,
            watch=watch,
        )
        loss = torch.zeros((), device=device)
        count = torch.stack([weight.sum() for weight in weights]).sum()
        for index, place in enumerate(batch.places):
            velocity = said[index][None]
            if config.predicts == "data":
                velocity = towards(noisy[index], velocity.float(), sigma[index], LEAST)
            part = share.of * weights[place].sum() / count
            loss = loss + part * velocity_loss(velocity, data[index], noise[index], weights[place])
        return self._with_maps(loss, watch, 1.0)

    def _weight(self, batch: MixedBatch, place: int, weight: Tensor, sigma: Tensor) -> Tensor:
        """How much each position of a clip counts (1 1 t h w). weight, sigma: (1 t)."""
        _, h, w = batch.shapes[place]
        weight = weight[:, None, :, None, None].expand(1, 1, -1, h, w)
        if not (self.config.align and self.config.align.objects and batch.maps is not None):
            return weight
        there = batch.maps[place][None].float() / 255  # 1 k t h w
        return weight * object_weight(there, sigma, self.config.align.objects)

    def _seen(self, text: Tensor, dtype: torch.dtype) -> Tensor:
        """Words' states as the transformer gets them."""
        words = text.to(dtype)
        return words if self.projection is None else words @ self.projection.to(words)

    def _with_maps(
        self, loss: Tensor, watch: MapWatch | MixedMapWatch | None, clips: float
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if watch is None or watch.loss is None or self.config.align is None:
            return loss, {}
        return loss + self.config.align.weight * clips * watch.loss, {
            "velocity": loss.detach(),
            "maps": watch.loss.detach(),
        }

    def _noise(self, n: int, shape: torch.Size, step: int, rows: slice, generator: torch.Generator) -> Tensor:
        """Those rows of the noise of n clips, the same whichever process draws them."""
        if self.config.noise == "batch":
            return torch.randn((n, *shape), generator=generator)[rows]
        return torch.stack([self._own_noise(shape, step, clip) for clip in range(n)[rows]])

    def _own_noise(self, shape: torch.Size, step: int, clip: int) -> Tensor:
        """Of a clip by its place among all of the step."""
        return torch.randn(shape, generator=torch_rng(self.config.seed, step, CLIPS + clip))

    def over(self, networks: Mapping[str, nn.Module]) -> Diffusion:
        """The same objective over other networks of the same shapes."""
        other = copy.copy(self)
        other.transformer = cast(Transformer, networks["transformer"])
        other.map_head = cast("MapHead | None", networks.get("map_head"))
        other.scene = cast("SceneEmbedding | None", networks.get("scene_embedding"))
        return other

    def count(self, batch: Batch | MixedBatch) -> tuple[int, int]:
        shapes = _shapes(batch)
        return len(shapes), sum(self._tokens(*shape) for shape in shapes)

    def flops(self, batch: Batch | MixedBatch) -> float:
        words = batch.text.shape[1] + 1
        shapes = Counter(_shapes(batch))
        return 3.0 * sum(
            many
            * forward_flops(self.transformer.config, tokens=self._tokens(*shape), words=words, times=shape[0])
            for shape, many in shapes.items()
        )

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        return self._sampler(self._plain(), folder, step)

    def export(self, folder: Path) -> None:
        beside = {} if self.scene is None else {"scene": self.scene}
        self._exporter(self._plain(), folder, **beside)

    def _plain(self) -> Transformer:
        """The transformer as users load it, which takes words as the encoder gives them."""
        return self.transformer if self.projection is None else folded(self.transformer, self.projection)

    def _tokens(self, t: int, h: int, w: int) -> int:
        return t * h * w // self.transformer.config.patch_side**2


def _shapes(batch: Batch | MixedBatch) -> list[tuple[int, int, int]]:
    """t h w of each clip that is here."""
    clips = batch.latents if isinstance(batch, MixedBatch) else batch.latents.unbind(0)
    return [(t, h, w) for t, h, w in (clip.shape[1:] for clip in clips)]
