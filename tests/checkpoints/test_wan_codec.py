"""The codec against diffusers' AutoencoderKLWan, and the key map both ways."""

import pytest
import torch

from sorairo.checkpoints.adapters.wan_codec import (
    config_from_wan,
    config_to_wan,
    state_from_wan,
    state_to_wan,
)
from sorairo.codec.model import Codec, CodecConfig
from sorairo.types import UserError

SHAPES = {
    "patch 4": CodecConfig(base_dim=8, decoder_base_dim=12, z_dim=6, dim_mult=(1, 4, 4), num_res_blocks=1),
    "patch 2": CodecConfig(
        base_dim=8,
        z_dim=6,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        halve_time=(False, True, True),
        patch_size=2,
    ),
    "wan 2.1": CodecConfig(
        base_dim=8,
        z_dim=4,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        halve_time=(False, True, True),
        shortcut=False,
        patch_size=1,
    ),
}


def random_codec(config: CodecConfig) -> Codec:
    """A codec without the zeros that a fresh one starts with, so that nothing hides."""
    torch.manual_seed(0)
    codec = Codec(config).eval()
    for name, parameter in codec.named_parameters():
        if "conv2.weight" in name or "proj.weight" in name:
            torch.nn.init.normal_(parameter, std=0.05)
        elif "norm" in name:
            torch.nn.init.normal_(parameter, mean=1, std=0.2)
    return codec


@pytest.mark.parametrize("shape", SHAPES)
def test_same_as_diffusers(shape):
    from diffusers import AutoencoderKLWan

    codec = random_codec(SHAPES[shape])
    config = codec.config
    values = config_to_wan(config)
    theirs = AutoencoderKLWan(**{k: v for k, v in values.items() if not k.startswith("_")}).eval()
    theirs.load_state_dict(state_to_wan(codec.state_dict(), config))
    side = 2 * config.space_factor
    video = torch.rand(2, 3, 9, side, side + config.space_factor) * 2 - 1
    with torch.no_grad():
        mean = theirs.encode(video).latent_dist.mode()
        torch.testing.assert_close(codec.encode(video), mean, atol=1e-4, rtol=0)
        expected = theirs.decode(mean).sample
        torch.testing.assert_close(codec.decode(mean), expected, atol=1e-4, rtol=0)
    assert expected.std() > 0.05  # the comparison is of something


@pytest.mark.parametrize("shape", SHAPES)
def test_round_trip_is_exact(shape):
    config = SHAPES[shape]
    state = random_codec(config).state_dict()
    back = state_from_wan(state_to_wan(state, config), config, list(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert config_from_wan(config_to_wan(config)).halve_time == config.halve_time


def test_wrong_weights_are_named():
    config = SHAPES["patch 4"]
    state = random_codec(config).state_dict()
    theirs = state_to_wan(state, config)
    del theirs["decoder.conv_in.bias"]
    with pytest.raises(UserError, match=r"lacks decoder\.conv_in\.bias"):
        state_from_wan(theirs, config, list(state))
