"""Local convolutions around the transformer."""

from __future__ import annotations

from dataclasses import replace

import torch

from sorairo.transformer.local import Local
from sorairo.transformer.model import Transformer, forward_flops
from sorairo.transformer.presets import PRESETS

TINY = PRESETS["tiny"]
LOCAL = replace(TINY, local=1, local_width=16)


def test_none_is_wan_exactly():
    assert not any("local" in name for name in Transformer(TINY).state_dict())
    assert forward_flops(TINY, tokens=144, words=20) < forward_flops(LOCAL, tokens=144, words=20)


def test_training_starts_from_zero_velocity_and_everything_learns_soon():
    torch.manual_seed(0)
    model = Transformer(LOCAL)
    model.init_weights()
    latents, text = torch.randn(2, 8, 3, 4, 6), torch.randn(2, 16, 32)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(4):
        optimizer.zero_grad()
        velocity = model(latents, torch.tensor([500.0, 100.0]), text, torch.tensor([3, 16]))
        if step == 0:
            assert velocity.abs().max() == 0
        (velocity - latents).square().mean().backward()
        optimizer.step()
    assert not [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]


@torch.no_grad()
def test_frames_have_their_own_times_and_do_not_see_each_other():
    torch.manual_seed(0)
    local = Local(2, 8, 8, 16, 32)
    x = torch.randn(1, 8, 3, 6, 4)
    times = torch.tensor([[900.0, 0.0, 30.0]])
    whole = local.before(x, times)
    assert whole.shape == (1, 16, 3, 6, 4)
    for frame in range(3):
        alone = local.before(x[:, :, frame : frame + 1], times[:, frame : frame + 1])
        assert torch.allclose(whole[:, :, frame : frame + 1], alone, atol=1e-5)
    assert not torch.allclose(whole, local.before(x, torch.tensor([5.0])), atol=1e-3)


@torch.no_grad()
def test_bf16_is_close():
    torch.manual_seed(0)
    model = Transformer(LOCAL).eval()
    latents, text, timestep = torch.randn(2, 8, 3, 4, 6), torch.randn(2, 5, 32), torch.tensor([500.0, 3.0])
    want = model(latents, timestep, text)
    got = model.bfloat16()(latents.bfloat16(), timestep, text)
    assert got.dtype == torch.bfloat16
    assert (got - want).abs().max() < 0.05 * want.abs().max()
