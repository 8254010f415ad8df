"""A tiny model that draws scenes."""

from __future__ import annotations

import pytest
import torch

from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.save import save_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.scenes.model import SceneConfig, SceneModel
from sorairo.transformer.model import Transformer

CONFIG = SceneConfig(
    layers=1,
    heads=2,
    head_dim=16,
    hidden=32,
    text_dim=32,
    text_len=16,
    freq_dim=32,
    width=32,
    frames=4,
    channels=8,
    shared=4,
    time_factor=4,
    space_factor=16,
    steps=2,
)


@pytest.fixture(scope="module")
def scene():
    torch.manual_seed(0)
    model = SceneModel(CONFIG)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.embedding.space = LatentSpace.fit([torch.rand(2, 3, 5, 32, 32) * 2 - 1], 8, 4, 4, 16, rows=60)
    return model.requires_grad_(False)


@pytest.fixture(scope="module")
def folder(scene, tiny_folder, tmp_path_factory):
    """The tiny model with a scene."""
    model = load_checkpoint(tiny_folder, "fp32")
    assert isinstance(model.transformer, Transformer)
    path = tmp_path_factory.mktemp("scenes") / "m"
    save_checkpoint(
        path,
        model.codec,
        model.transformer,
        tiny_folder,
        model.info,
        shift=3.0,
        scene=scene,
        dtype=torch.float32,
    )
    return path
