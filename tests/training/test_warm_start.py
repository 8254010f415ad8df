"""A deeper network that begins as the function of a shallower one."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from sorairo.training.warm_start import place_blocks, place_local
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS


def network(layers: int) -> Transformer:
    made = Transformer(replace(PRESETS["tiny"], layers=layers))
    made.init_weights()
    return made


@pytest.mark.parametrize(("old", "new"), [(2, 3), (2, 4), (3, 5)])
def test_new_blocks_change_nothing_at_first(old: int, new: int) -> None:
    shallow = network(old)
    with torch.no_grad():
        for weight in shallow.parameters():
            weight += 0.1 * torch.randn_like(weight)
    deep = network(new)
    deep.load_state_dict(place_blocks(shallow.state_dict(), deep.state_dict()))
    given = (torch.randn(2, 8, 2, 4, 4), torch.tensor([100.0, 700.0]), torch.randn(2, 5, 32))
    assert torch.allclose(deep(*given), shallow(*given), atol=1e-6)
    loss = deep(*given).square().mean()
    loss.backward()
    for block in deep.blocks:  # and all of them learn
        assert block.feed_forward.down.weight.grad.abs().max() > 0


def test_equal_depths_are_left_alone() -> None:
    state = network(2).state_dict()
    assert place_blocks(state, network(2).state_dict()) is state
    assert place_blocks(network(3).state_dict(), state).keys() != state.keys()  # which the caller refuses


def test_local_convolutions_change_nothing_at_first_and_learn() -> None:
    plain = network(2)
    with torch.no_grad():
        for weight in plain.parameters():
            weight += 0.1 * torch.randn_like(weight)
    local = Transformer(replace(PRESETS["tiny"], layers=3, local=2, local_width=16))
    local.init_weights()
    state = local.state_dict()
    local.load_state_dict(place_local(place_blocks(plain.state_dict(), state), state))
    given = (torch.randn(2, 8, 2, 4, 6), torch.tensor([[100.0, 5.0], [700.0, 0.0]]), torch.randn(2, 5, 32))
    assert torch.allclose(local(*given), plain(*given), atol=1e-6)
    optimizer = torch.optim.SGD(local.parameters(), lr=0.1)
    for _ in range(3):
        optimizer.zero_grad()
        (local(*given) - given[0]).square().mean().backward()
        optimizer.step()
    still = [name for name, p in local.named_parameters() if not p.grad.any()]
    assert not still
    again = local.state_dict()
    assert place_local(again, again) is again
