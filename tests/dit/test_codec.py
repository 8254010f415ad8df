import pytest
import torch

from sorairo.dit.codec import PRESETS, KLImage, KLImageConfig
from sorairo.dit.codec_names import (
    from_kl_image,
    from_kl_image_config,
    to_kl_image,
    to_kl_image_config,
)
from sorairo.types import UserError

TINY = PRESETS["tiny"]
# one level at the real width
REAL = KLImageConfig(widths=(512,), blocks=1)


def reference(config=TINY):
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    return AutoencoderKL.from_config(to_kl_image_config(config)).eval()


def ours(model, config=TINY):
    codec = KLImage(config)
    codec.load_state_dict(from_kl_image(model.state_dict()))
    return codec.eval()


def largest_error(got, want):
    return ((got - want).abs().max() / want.abs().max()).item()


@torch.no_grad()
@pytest.mark.parametrize("config", [TINY, REAL], ids=["small", "one level of SD"])
def test_encode_and_decode_are_diffusers(config):
    model = reference(config)
    codec = ours(model, config)
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(2, 3, 16, 24, generator=generator) * 2 - 1
    posterior = model.encode(images).latent_dist
    want = posterior.mode() * config.scaling
    assert largest_error(codec.encode(images), want) < 1e-4
    noise = torch.randn(want.shape, generator=generator)
    assert (
        largest_error(codec.encode(images, noise), (posterior.mean + posterior.std * noise) * config.scaling)
        < 1e-4
    )
    assert largest_error(codec.decode(want), model.decode(want / config.scaling).sample) < 1e-4
    assert largest_error(codec.to(memory_format=torch.channels_last).encode(images), want) < 1e-4


@torch.no_grad()
def test_bf16_is_over_40_db():
    model = reference(REAL)
    latents = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(1)) * REAL.scaling
    want = model.decode(latents / REAL.scaling).sample
    got = ours(model, REAL).bfloat16().decode(latents.bfloat16())
    assert 10 * torch.log10((want.max() - want.min()) ** 2 / (got.float() - want).square().mean()) > 40


def test_names_go_there_and_back():
    state = reference().state_dict()
    back = to_kl_image(from_kl_image(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[name], state[name]) for name in state)
    assert from_kl_image_config(to_kl_image_config(TINY)) == TINY


def test_names_and_shapes_of_old_files_are_known():
    state = reference().state_dict()
    old = {}
    for name, tensor in state.items():
        for now, then in (("to_q", "query"), ("to_k", "key"), ("to_v", "value"), ("to_out.0", "proj_attn")):
            if f"attentions.0.{now}." in name:
                name = name.replace(now, then)
                tensor = tensor[..., None, None] if tensor.ndim == 2 else tensor
        old[name] = tensor
    assert old.keys() != state.keys()
    want = from_kl_image(state)
    got = from_kl_image(old)
    assert got.keys() == want.keys() and all(torch.equal(got[name], want[name]) for name in want)


def test_the_published_size_has_exactly_these_tensors():
    from diffusers import AutoencoderKL

    config = PRESETS["sd"]
    with torch.device("meta"):
        theirs = AutoencoderKL.from_config(to_kl_image_config(config)).state_dict()
        mine = KLImage(config).state_dict()
    assert {k: v.shape for k, v in from_kl_image(theirs).items()} == {k: v.shape for k, v in mine.items()}
    assert {k: v.shape for k, v in to_kl_image(mine).items()} == {k: v.shape for k, v in theirs.items()}
    assert sum(t.numel() for t in mine.values()) == 83_653_863


def test_other_families_and_forms_are_refused():
    with pytest.raises(UserError, match="not Stable Diffusion's"):
        from_kl_image_config({"_class_name": "AutoencoderKLWan"})
    with pytest.raises(UserError, match="shift_factor"):
        from_kl_image_config(to_kl_image_config(TINY) | {"shift_factor": 0.1})
    with pytest.raises(UserError, match="latent_channels is missing"):
        values = to_kl_image_config(TINY)
        del values["latent_channels"]
        from_kl_image_config(values)
