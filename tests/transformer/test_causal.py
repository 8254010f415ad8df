"""Attention that looks back only: the same with a cache as masked, as diffusers masks it, and at a constant cost."""

from dataclasses import replace

import pytest
import torch

from sorairo.checkpoints.adapters import wan
from sorairo.transformer.causal import History, InChunks
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from tests.checkpoints.wan_folders import randomised


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return randomised(Transformer(replace(PRESETS["tiny"], channels=4)), 0.1)


def inputs(frames):
    torch.manual_seed(1)
    return torch.randn(1, 4, frames, 4, 6), torch.randn(1, 5, 32)


@torch.inference_mode()
def test_with_the_cache_equals_without():
    """Each chunk at its noise level, beside the clean ones before it: one masked pass over all, or the cache."""
    torch.manual_seed(0)
    model = randomised(Transformer(replace(PRESETS["tiny"], channels=4, layers=3)), 0.1)
    x, words = inputs(8)
    history = History(3)
    for start, stop in ((0, 3), (3, 6), (6, 8)):
        cached = model(x[:, :, start:stop], torch.tensor([600.0]), words, sight=history)
        times = torch.zeros(1, stop)
        times[:, start:] = 600.0
        whole = model(x[:, :, :stop], times, words, sight=InChunks(3))
        want = whole[:, :, start:stop]
        assert (cached - want).abs().max() <= 1e-5 * want.abs().max()
        assert history.start == start
        history.keep = True
        model(x[:, :, start:stop], torch.tensor([0.0]), words, sight=history)
        history.keep = False


@torch.inference_mode()
def test_chunks_look_back_only(model):
    x, words = inputs(6)
    time = torch.tensor([500.0])
    before = model(x, time, words, sight=InChunks(3))
    changed = x.clone()
    changed[:, :, 3:] += 1
    after = model(changed, time, words, sight=InChunks(3))
    assert torch.equal(before[:, :, :3], after[:, :, :3])
    assert not torch.allclose(before[:, :, 3:], after[:, :, 3:], atol=1e-2)
    changed = x.clone()
    changed[:, :, 0] += 1
    after = model(changed, time, words, sight=InChunks(3))
    assert not torch.allclose(before[:, :, 3:], after[:, :, 3:], atol=1e-4)


@torch.inference_mode()
def test_masked_as_diffusers_does():
    from diffusers import SkyReelsV2Transformer3DModel

    torch.manual_seed(0)
    shape = {"num_attention_heads": 2, "attention_head_dim": 16, "ffn_dim": 64, "num_layers": 2}
    theirs = SkyReelsV2Transformer3DModel(
        **shape, in_channels=4, out_channels=4, text_dim=32, freq_dim=32, num_frame_per_block=2
    )
    theirs = randomised(theirs, 0.1)
    ours = Transformer(wan.from_wan_config(theirs.config, text_len=5)).eval()
    ours.load_state_dict(wan.from_wan(theirs.state_dict()))
    x, words = inputs(6)
    time = torch.tensor([[900.0, 900.0, 700.0, 700.0, 500.0, 500.0]])
    want = theirs(x, time, words, enable_diffusion_forcing=True).sample
    made = ours(x, time, words, sight=InChunks(2))
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()


@torch.inference_mode()
def test_what_is_held_does_not_grow(model):
    x, words = inputs(2)
    history, held = History(2, reach=4, sink=1), []
    first = None
    for _ in range(6):
        history.keep = True
        model(x, torch.tensor([0.0]), words, sight=history)
        pair = history.held[0]
        assert pair is not None
        first = pair[0][:, :, :6] if first is None else first
        assert torch.equal(pair[0][:, :, :6], first)  # the sink: 6 tokens of the first frame
        held.append(history.nbytes)
    assert held[0] < held[1] == held[2] == held[-1]
    assert history.start == 12
