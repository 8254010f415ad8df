"""Words through their main directions."""

from __future__ import annotations

import torch

from sorairo.transformer.low_rank import folded, main_directions
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

TINY = PRESETS["tiny"]


def test_the_main_directions_keep_what_lies_in_them_and_drop_the_rest():
    generator = torch.Generator().manual_seed(0)
    inside = torch.randn(200, 3, generator=generator) @ torch.randn(3, 32, generator=generator)
    projection = main_directions(inside + 0.01 * torch.randn(200, 32, generator=generator), 3)
    assert torch.allclose(projection @ projection, projection, atol=1e-5)
    assert torch.linalg.matrix_rank(projection) == 3
    assert torch.allclose(inside @ projection, inside, atol=0.2)
    assert torch.equal(torch.zeros(32) @ projection, torch.zeros(32))


@torch.no_grad()
def test_a_folded_network_does_on_plain_states_what_the_other_does_on_projected_ones():
    torch.manual_seed(0)
    network, states = Transformer(TINY), torch.randn(2, 7, TINY.text_dim)
    projection = main_directions(torch.randn(50, TINY.text_dim), 8)
    latents, times, lengths = torch.randn(2, 8, 3, 4, 4), torch.tensor([900.0, 20.0]), torch.tensor([7, 3])
    want = network(latents, times, states @ projection, lengths)
    assert torch.allclose(folded(network, projection)(latents, times, states, lengths), want, atol=1e-5)
    assert not torch.allclose(network(latents, times, states, lengths), want, atol=1e-2)
