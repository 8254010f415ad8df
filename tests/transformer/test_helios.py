"""Helios' transformer: the same velocity as diffusers' class, with a memory and without."""

import pytest
import torch
from diffusers import HeliosTransformer3DModel

from sorairo.checkpoints.adapters import helios
from sorairo.transformer.helios import MEMORY, Helios, Memory
from sorairo.types import UserError
from tests.checkpoints.wan_folders import randomised

SHAPE = {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 64, "num_layers": 2}
TINY = SHAPE | {"in_channels": 4, "out_channels": 4, "text_dim": 32, "freq_dim": 32, "rope_dim": (8, 4, 4)}
PUBLISHED = {
    "num_attention_heads": 4,
    "attention_head_dim": 128,
    "ffn_dim": 256,
    "num_layers": 1,
    "text_dim": 64,
}


def both(std=0.1, **changes):
    """(diffusers' model, ours with the same weights)."""
    torch.manual_seed(0)
    theirs = randomised(HeliosTransformer3DModel(**changes), std)
    ours = Helios(helios.from_helios_config(theirs.config, text_len=5)).eval()
    ours.load_state_dict(helios.from_helios(theirs.state_dict()))
    return theirs, ours


def inputs(channels=4, h=6, w=10, text=32, t=3):
    torch.manual_seed(1)
    past = torch.randn(1, channels, 1 + sum(MEMORY), h, w)
    return torch.randn(1, channels, t, h, w), torch.randn(1, 5, text), past.split((1, *MEMORY), dim=2)


def remembered(theirs, x, time, words, past):
    first, long, mid, short = past
    indices = torch.arange(1 + sum(MEMORY) + x.shape[2])[None]
    prefix, longs, mids, shorts, here = indices.split((1, *MEMORY, x.shape[2]), dim=1)
    return theirs(
        x,
        time,
        words,
        indices_hidden_states=here,
        indices_latents_history_short=torch.cat([prefix, shorts], dim=1),
        indices_latents_history_mid=mids,
        indices_latents_history_long=longs,
        latents_history_short=torch.cat([first, short], dim=2),
        latents_history_mid=mid,
        latents_history_long=long,
    ).sample


@torch.inference_mode()
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"is_amplify_history": True},
        {"is_amplify_history": True, "history_scale_mode": "scalar"},
        {"guidance_cross_attn": False},
        {"zero_history_timestep": False},
    ],
    ids=lambda changes: "-".join(changes) or "as published",
)
def test_the_same_velocity(changes):
    theirs, ours = both(**TINY, **changes)
    x, words, past = inputs()  # no multiple of the largest patches
    time = torch.tensor([700.0])
    want = remembered(theirs, x, time, words, past)
    made = ours(x, time, words, memory=Memory(*past))
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()
    forgotten = ours(x, time, words, memory=Memory(*(0 * part for part in past)))
    assert (forgotten - want).abs().max() > 1e-2 * want.abs().max()


@torch.inference_mode()
def test_without_a_memory():
    theirs, ours = both(**TINY, zero_history_timestep=False)
    x, words, _ = inputs()
    want = theirs(x, torch.tensor([300.0]), words).sample
    assert (ours(x, torch.tensor([300.0]), words) - want).abs().max() <= 1e-4 * want.abs().max()


@torch.inference_mode()
def test_heads_as_wide_as_published():
    theirs, ours = both(0.02, **PUBLISHED)
    x, words, past = inputs(16, 4, 4, 64, 1)
    want = remembered(theirs, x, torch.tensor([500.0]), words, past)
    made = ours(x, torch.tensor([500.0]), words, memory=Memory(*past))
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()


@pytest.mark.parametrize("scale_mode", ["per_head", "scalar"])
def test_there_and_back(scale_mode):
    theirs = HeliosTransformer3DModel(**TINY, is_amplify_history=True, history_scale_mode=scale_mode)
    config = helios.from_helios_config(theirs.config, text_len=5)
    back = helios.to_helios(helios.from_helios(theirs.state_dict()), config)
    assert all(torch.equal(back[name], tensor) for name, tensor in theirs.state_dict().items())
    again = HeliosTransformer3DModel.from_config(helios.to_helios_config(config))
    assert {n: t.shape for n, t in again.state_dict().items()} == {n: t.shape for n, t in back.items()}


def test_what_is_not_computed_is_refused():
    values = dict(HeliosTransformer3DModel(**TINY).config)
    for key, value in (
        ("rope_dim", [4, 6, 6]),
        ("rope_theta", 256.0),
        ("has_multi_term_memory_patch", False),
    ):
        with pytest.raises(UserError, match=key):
            helios.from_helios_config(values | {key: value}, text_len=5)
