"""Wan's image-to-video transformers against diffusers': 36 channels, a CLIP's tokens, places for two images."""

from dataclasses import replace

import pytest
import torch

from sorairo.checkpoints.adapters.wan import from_wan, from_wan_config, to_wan, to_wan_config
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.types import UserError

TEXT = 512  # diffusers cuts the image's tokens off by this number

I2V = replace(PRESETS["tiny"], text_len=TEXT, channels=4, condition_channels=8, image_dim=24)
FAMILIES = {
    "wan2.1-i2v": I2V,
    "wan2.1-flf2v": replace(I2V, image_positions=10),
    "wan2.2-i2v": replace(I2V, image_dim=0),
}
# one layer of the published width
REAL = {
    "wan2.1-1.3b": replace(PRESETS["wan-1.3b"], layers=1),
    "wan2.2-ti2v-5b": replace(PRESETS["wan-5b"], layers=1),
    "wan2.1-flf2v-14b": replace(
        PRESETS["wan-14b"], layers=1, condition_channels=20, image_dim=1280, image_positions=514
    ),
}


def pair(config):
    """diffusers' model with random weights, also where it begins with zeros, and ours with the same."""
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    theirs = WanTransformer3DModel.from_config(to_wan_config(config)).eval()
    for name, parameter in theirs.named_parameters():
        if "pos_embed" in name or "norm" in name:
            torch.nn.init.normal_(parameter, mean=0.5, std=0.3)
    with torch.device("meta"):
        ours = Transformer(config)
    ours.load_state_dict(from_wan(theirs.state_dict()), assign=True)
    return theirs, ours.eval()


def inputs(config, images):
    generator = torch.Generator().manual_seed(1)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    latents = draw(1, config.channels, 3, 4, 6)
    condition = draw(1, config.condition_channels, 3, 4, 6) if config.condition_channels else None
    tokens = draw(images, (config.image_positions or 10) // 2, config.image_dim) if config.image_dim else None
    return latents, condition, draw(1, TEXT, config.text_dim), tokens


@torch.no_grad()
def both(config, timestep):
    theirs, ours = pair(config)
    latents, condition, text, tokens = inputs(config, 2 if config.image_positions else 1)
    whole = latents if condition is None else torch.cat([latents, condition], dim=1)
    per_token = timestep.repeat_interleave(6, dim=1) if timestep.ndim == 2 else timestep
    want = theirs(whole, per_token, text, tokens, return_dict=False)[0]
    image = None if tokens is None else tokens.flatten(0, 1)[None]
    got = ours(latents, timestep, text, condition=condition, image=image)
    return (got - want).abs().max() / want.abs().max(), want


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("timestep", [[900.0], [[0.0, 500.0, 500.0]]], ids=["one time", "times"])
def test_one_step_is_diffusers(family, timestep):
    error, want = both(FAMILIES[family], torch.tensor(timestep))
    assert error < 1e-4 and want.shape[1] == 4


@pytest.mark.slow
@pytest.mark.parametrize("family", REAL)
def test_one_layer_of_the_real_width_is_diffusers(family):
    assert both(REAL[family], torch.tensor([700.0]))[0] < 1e-4


@pytest.mark.parametrize("family", FAMILIES)
def test_names_and_shapes_go_there_and_back(family):
    config = FAMILIES[family]
    state = pair(config)[0].state_dict()
    back = to_wan(from_wan(state), config)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert from_wan_config(to_wan_config(config), text_len=TEXT) == config


def test_what_images_it_needs_is_said():
    _, model = pair(FAMILIES["wan2.1-flf2v"])
    latents, condition, text, tokens = inputs(model.config, 1)
    timestep = torch.tensor([900.0])
    with pytest.raises(UserError, match="give it the first frame"):
        model(latents, timestep, text)
    with pytest.raises(UserError, match="give it both"):
        model(latents, timestep, text, condition=condition, image=tokens)
    values = to_wan_config(model.config)
    with pytest.raises(UserError, match="added_kv_proj_dim"):
        from_wan_config(values | {"added_kv_proj_dim": None}, text_len=TEXT)
    with pytest.raises(UserError, match="in_channels is below"):
        from_wan_config(values | {"in_channels": 2}, text_len=TEXT)
