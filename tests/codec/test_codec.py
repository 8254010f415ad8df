"""The codec in time: pieces equal the whole, nothing looks ahead, and misfits are refused."""

import pytest
import torch

from sorairo.codec import model, norm
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.presets import PRESETS
from sorairo.codec.streaming import decode_stream
from sorairo.nn import causal_conv
from sorairo.nn.causal_conv import CausalConv3d, TimeCache
from sorairo.types import UserError

FORMS = {
    "wan 2.2": CodecConfig(base_dim=8, z_dim=4, dim_mult=(1, 2, 2), patch_size=2),
    "wan 2.1": CodecConfig(base_dim=8, z_dim=4, dim_mult=(1, 2, 2), patch_size=1, shortcut=False),
    "wan 2.1, space first": CodecConfig(
        base_dim=8,
        z_dim=4,
        dim_mult=(1, 2, 2, 2),
        halve_time=(False, True, True),
        patch_size=1,
        shortcut=False,
    ),
    "wan 2.2, space first": CodecConfig(
        base_dim=8, z_dim=4, dim_mult=(1, 2, 4, 4), halve_time=(False, True, True), patch_size=2
    ),
}


@pytest.fixture(params=FORMS)
def codec(request) -> Codec:
    torch.manual_seed(0)
    codec = Codec(FORMS[request.param]).eval().requires_grad_(False)
    for name, parameter in codec.named_parameters():
        if "conv2.weight" in name or "proj.weight" in name:
            torch.nn.init.normal_(parameter, std=0.05)
    return codec


def test_shapes_of_the_default():
    config = PRESETS["default"]
    assert (config.time_factor, config.space_factor, config.z_dim) == (2, 8, 24)


@pytest.mark.parametrize("step", [1, 2])
def test_streamed_decoding_is_whole_decoding(codec, step):
    side = 2
    latents = torch.randn(1, 4, 4, side, side)
    whole = codec.decode(latents)
    pieces = list(decode_stream(codec, latents, step))
    assert [piece.shape[2] for piece in pieces] == ([1, 4, 4, 4] if step == 1 else [5, 8])
    torch.testing.assert_close(torch.cat(pieces, dim=2), whole, atol=1e-5, rtol=0)


def test_streamed_encoding_is_whole_encoding(codec):
    side = 2 * codec.config.space_factor
    video = torch.rand(1, 3, 13, side, side) * 2 - 1
    kept = TimeCache()
    pieces = [codec.encode(piece, kept) for piece in video.split([1, 4, 8], dim=2)]
    torch.testing.assert_close(torch.cat(pieces, dim=2), codec.encode(video), atol=1e-5, rtol=0)


@torch.inference_mode()
def test_large_clips_go_through_in_pieces_and_come_out_the_same(codec, monkeypatch):
    side = 2 * codec.config.space_factor
    video, latents = torch.rand(2, 3, 13, side, side) * 2 - 1, torch.randn(2, 4, 4, 2, 2)
    whole = codec.encode(video), codec.decode(latents)
    for limit, most in ((1, 1), (2000, 3000), (10**9, 1), (1, 10**9)):
        monkeypatch.setattr(causal_conv, "AT_ONCE", limit)  # values of a layer
        monkeypatch.setattr(model, "LARGE", most)  # of a clip
        monkeypatch.setattr(norm, "BLOCK", 64)
        for made, meant in zip((codec.encode(video), codec.decode(latents)), whole, strict=True):
            torch.testing.assert_close(made, meant, atol=1e-5, rtol=0)


@pytest.mark.parametrize("frame", [0, 1, 4, 5, 8])
def test_no_latent_sees_a_later_frame(codec, frame):
    side = 2 * codec.config.space_factor
    video = torch.rand(1, 3, 9, side, side) * 2 - 1
    changed = video.clone()
    changed[:, :, frame:] += 0.5
    first = -(-frame // 4)  # the first latent frame that covers it
    before, after = codec.encode(video), codec.encode(changed)
    assert torch.equal(before[:, :, :first], after[:, :, :first])
    assert not torch.equal(before[:, :, first], after[:, :, first])


def test_no_frame_sees_a_later_latent(codec):
    latents = torch.randn(1, 4, 3, 2, 2)
    changed = latents.clone()
    changed[:, :, 2:] += 1
    before, after = codec.decode(latents), codec.decode(changed)
    assert torch.equal(before[:, :, :5], after[:, :, :5])
    assert not torch.equal(before[:, :, 5], after[:, :, 5])


def test_a_still_is_the_first_frame_of_a_clip(codec):
    side = 2 * codec.config.space_factor
    video = torch.rand(1, 3, 5, side, side) * 2 - 1
    torch.testing.assert_close(
        codec.encode(video[:, :, :1]), codec.encode(video)[:, :, :1], atol=1e-5, rtol=0
    )


def test_latents_are_normalised():
    config = CodecConfig(
        base_dim=8, z_dim=4, patch_size=2, latents_mean=(1.0, 2.0, 3.0, 4.0), latents_std=(0.5, 1.0, 2.0, 4.0)
    )
    codec = Codec(config).eval().requires_grad_(False)
    video = torch.rand(1, 3, 1, 16, 16)
    mean, _ = codec.moments(video)
    expected = (mean - codec.latents_mean) / codec.latents_std
    torch.testing.assert_close(codec.encode(video), expected)
    torch.testing.assert_close(codec.decode(expected), codec.pixels(mean).clamp(-1, 1))


def test_gradients_are_finite_in_the_dark():
    """An all-zero position has no direction; its gradient must not become infinite."""
    codec = Codec(PRESETS["tiny"]).bfloat16()
    video = torch.zeros(1, 3, 5, 32, 32, dtype=torch.bfloat16)
    codec.pixels(codec.moments(video)[0]).sum().backward()
    assert all(p.grad.isfinite().all() for p in codec.parameters() if p.grad is not None)


def test_the_cache_holds_copies():
    layer, cache = CausalConv3d(2, 2, 3), TimeCache()
    layer(torch.randn(1, 2, 16, 4, 4), cache)
    assert cache.nbytes() == 2 * 2 * 4 * 4 * 4
    tail = cache.tail(layer)
    assert tail is not None and tail.untyped_storage().nbytes() == tail.nbytes


@pytest.mark.parametrize(
    ("frames", "side", "words"), [(6, 16, "give 5"), (5, 17, "give 16x16"), (0, 16, "give 1")]
)
def test_misfits_are_refused_with_the_nearest(frames, side, words):
    codec = Codec(PRESETS["tiny"])
    with pytest.raises(UserError, match=words):
        codec.encode(torch.zeros(1, 3, frames, side, side))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dim_mult": (1, 2, 4)}, "shortcuts"),
        ({"halve_time": (True,)}, "one fewer"),
        ({"latents_mean": (0.0,)}, "z_dim"),
    ],
)
def test_impossible_shapes_are_refused(changes, words):
    with pytest.raises(UserError, match=words):
        CodecConfig(**changes)
