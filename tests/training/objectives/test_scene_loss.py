"""A picture's loss where the transformer is shown the clip's scene."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from sorairo.codec.latent_space import LatentSpace
from sorairo.data.latents import KINDS
from sorairo.data.loader import Loader, LoaderConfig
from sorairo.data.shards import write_shard
from sorairo.scenes.embedding import SceneEmbedding
from sorairo.scenes.tracks import SHAPES, SLOTS, Tracks
from sorairo.training.objectives.diffusion import Diffusion, DiffusionConfig
from sorairo.training.parallel.processes import Share
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

CLIPS, FRAMES, SIDE = 8, 3, 4


def scenes() -> torch.Tensor:
    """One object in each clip, each at another place."""
    place = torch.tensor([0.0, 0.0, 0.5, 0.5, 6.0]).repeat(CLIPS, SLOTS, FRAMES, 1)
    place[..., 0] = torch.linspace(-0.5, 0.5, CLIPS)[:, None, None]
    there = torch.zeros(CLIPS, SLOTS, dtype=torch.bool)
    there[:, 0] = True
    names = torch.arange(CLIPS)[:, None].expand(-1, SLOTS)
    camera = torch.tensor([0.0, 0.0, 0.0, -1.0, 6.0]).repeat(CLIPS, FRAMES, 1)
    return Tracks(place=place, shape=names % len(SHAPES), colour=names, there=there, camera=camera).encode()


def make(folder: Path, share: float | None, objects: float = 0.0, **data: bool) -> Diffusion:
    config = PRESETS["tiny"]
    generator = torch.Generator().manual_seed(0)
    tensors = {f"text_{kind}": torch.zeros(CLIPS, 3, config.text_dim).bfloat16() for kind in KINDS}
    tensors["text_lengths"] = torch.full((CLIPS, len(KINDS)), 2, dtype=torch.int32)
    tensors["latents"] = torch.randn(CLIPS, config.channels, FRAMES, SIDE, SIDE, generator=generator)
    tensors["scene"] = scenes()
    write_shard(folder / "latents" / "latents-00000.safetensors", tensors, [{}] * CLIPS)
    torch.manual_seed(0)
    network = Transformer(config)
    network.init_weights()
    torch.nn.init.normal_(network.head.project.weight, std=0.1)
    settings = LoaderConfig(**{"tokens": 64, "word_cost": 0.0, "stills": 0.0, "scenes": True, **data})
    loader = Loader(folder / "latents", folder / "lists", settings, torch.zeros(1, config.text_dim))
    asked = DiffusionConfig(scene=share, objects=objects)
    space = LatentSpace.fit([torch.rand(2, 3, 5, 32, 32) * 2 - 1], z=8, shared=4, frames=2, side=8, rows=60)
    objective = Diffusion(network, loader, asked, lambda *_: {}, lambda *_, **__: None, space=space)
    if objective.scene is not None:
        torch.nn.init.normal_(objective.scene.embed.weight, std=0.5)
    return objective


def loss_of(objective: Diffusion) -> torch.Tensor:
    return objective.loss(objective.batch(0), 0)[0]


@pytest.mark.parametrize("objects", [0.0, 3.0])
def test_the_scene_teaches_its_embedding_and_shares_add_up(tmp_path, objects):
    objective = make(tmp_path, 0.5, objects)
    assert objective.models.keys() == {"transformer", "scene_embedding"} and objective.scene is not None
    loss = loss_of(objective)
    loss.backward()
    assert objective.scene.embed.weight.grad.abs().sum() > 0
    shares = [Share(index=index, of=2) for index in range(2)]
    halves = [objective.loss(objective.batch(0, share), 0, share)[0] for share in shares]
    assert torch.isclose(sum(halves) / 2, loss, rtol=1e-5)


def test_clips_that_are_shown_none_are_as_without(tmp_path):
    plain, none, all_of_them = (
        make(tmp_path / name, share) for name, share in (("a", None), ("b", 0.0), ("c", 1.0))
    )
    assert torch.isclose(loss_of(none), loss_of(plain), rtol=1e-6)
    assert not torch.isclose(loss_of(all_of_them), loss_of(plain), rtol=1e-4)


def test_objects_weigh_more_where_the_scene_has_them(tmp_path):
    """With all of the error around the objects, the mean rises; with none there, it falls."""
    objective = make(tmp_path, 1.0, 3.0)
    batch = objective.batch(0)
    maps = objective._scenes(batch, 0)
    assert maps is not None
    near = SceneEmbedding.near(maps) > 0.9  # n t h w
    even = make(tmp_path / "even", 1.0)
    for where, more in ((near, True), (~near, False)):
        batch = replace(batch, latents=100 * where[:, None].float().expand_as(batch.latents))
        weighted, flat = objective.loss(batch, 0)[0], even.loss(batch, 0)[0]
        assert bool(weighted > flat) is more


@pytest.mark.parametrize("data", [{"scenes": False}, {"packed": True}])
def test_a_loader_without_scenes_or_of_packed_clips_is_refused(tmp_path, data):
    with pytest.raises(UserError, match="scenes=True, packed=False"):
        make(tmp_path, 0.5, **data)


def test_a_shard_without_scenes_is_named(tmp_path):
    objective = make(tmp_path, 0.5)
    path = next((tmp_path / "latents").glob("*.safetensors"))
    from safetensors.torch import load_file

    tensors = load_file(path)
    del tensors["scene"]
    write_shard(path, tensors, [{}] * CLIPS)
    with pytest.raises(UserError, match="holds no shards"):
        objective.batch(0)
    assert objective.loader.skipped == {path.name}
