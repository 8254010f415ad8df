import pytest
import torch

from sorairo.checkpoints.adapters.wan import from_wan, from_wan_config, to_wan, to_wan_config
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS

TINY = PRESETS["tiny"]


def theirs():
    from diffusers import WanTransformer3DModel

    torch.manual_seed(0)
    return WanTransformer3DModel.from_config(to_wan_config(TINY)).eval()


def ours(model):
    transformer = Transformer(TINY)
    transformer.load_state_dict(from_wan(model.state_dict()))
    return transformer.eval()


def inputs(batch=2, words=16):
    generator = torch.Generator().manual_seed(1)
    latents = torch.randn(batch, TINY.channels, 3, 4, 6, generator=generator)
    text = torch.randn(batch, words, TINY.text_dim, generator=generator)
    return latents, text


@torch.no_grad()
def test_one_step_is_diffusers_with_one_time_a_clip():
    reference = theirs()
    latents, text = inputs()
    timestep = torch.tensor([900.0, 20.0])
    want = reference(latents, timestep, text, return_dict=False)[0]
    assert (ours(reference)(latents, timestep, text) - want).abs().max() < 1e-4


@torch.no_grad()
def test_one_step_is_diffusers_with_a_time_for_every_frame():
    reference = theirs()
    latents, text = inputs()
    timestep = torch.tensor([[0.0, 500.0, 999.0], [100.0, 0.0, 3.0]])
    want = reference(latents, timestep.repeat_interleave(6, dim=1), text, return_dict=False)[0]
    assert (ours(reference)(latents, timestep, text) - want).abs().max() < 1e-4


@torch.no_grad()
@pytest.mark.parametrize("given", [5, 9, 16])
def test_one_pad_key_stands_for_all_zero_positions(given):
    reference = theirs()
    latents, text = inputs(batch=3)
    lengths = torch.tensor([2, 5, 0])
    padded = torch.where(torch.arange(TINY.text_len)[:, None] < lengths[:, None, None], text, 0.0)
    timestep = torch.tensor([900.0, 20.0, 300.0])
    want = reference(latents, timestep, padded, return_dict=False)[0]
    # what stands behind the words does not matter, nor how much of it is given
    assert (ours(reference)(latents, timestep, text[:, :given], lengths) - want).abs().max() < 1e-4


@torch.no_grad()
def test_a_full_text_has_no_pad_key():
    reference = theirs()
    latents, text = inputs()
    timestep = torch.tensor([900.0, 20.0])
    want = reference(latents, timestep, text, return_dict=False)[0]
    got = ours(reference)(latents, timestep, text, torch.tensor([TINY.text_len, TINY.text_len]))
    assert (got - want).abs().max() < 1e-4


def test_names_and_shapes_go_there_and_back():
    state = theirs().state_dict()
    back = to_wan(from_wan(state), TINY)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert from_wan_config(to_wan_config(TINY), text_len=TINY.text_len) == TINY


def test_training_starts_from_zero_velocity_and_every_product_learns_soon():
    torch.manual_seed(0)
    model = Transformer(TINY)
    model.init_weights()
    latents, text = inputs()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(3):
        optimizer.zero_grad()
        velocity = model(latents, torch.tensor([500.0, 100.0]), text, torch.tensor([3, 16]))
        if step == 0:
            assert velocity.abs().max() == 0
        (velocity - latents).square().mean().backward()
        optimizer.step()
    still = [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()]
    # the bias of a key adds the same to every score, up to the key's norm
    assert not still


@torch.no_grad()
def test_bf16_weights_compute_in_bf16_close_to_fp32():
    model = ours(theirs())
    latents, text = inputs()
    timestep, lengths = torch.tensor([[900.0, 0.0, 3.0]] * 2), torch.tensor([3, 7])
    want = model(latents, timestep, text, lengths)
    got = model.bfloat16()(latents.bfloat16(), timestep, text, lengths)
    assert got.dtype == torch.bfloat16
    assert (got - want).abs().max() < 0.05 * want.abs().max()
