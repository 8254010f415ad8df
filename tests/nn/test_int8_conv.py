"""Convolutions in 8 bits: the numbers of the same convolution of rounded values, and of whole clips in pieces."""

from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F

from sorairo.checkpoints.folder import find_folder, load_checkpoint, load_codec
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.presets import PRESETS
from sorairo.codec.streaming import decode_stream
from sorairo.nn.causal_conv import CausalConv3d, TimeCache
from sorairo.nn.int8_conv import Int8CausalConv3d, Int8Conv2d, convolutions_to_int8, to_bytes
from sorairo.nn.precision import has_int8_convolutions
from sorairo.worlds import get_world, render_clips

pytestmark = [
    pytest.mark.skipif(not has_int8_convolutions(), reason="this CPU has no convolution in 8 bits"),
]


def rounded(frame: torch.Tensor) -> torch.Tensor:
    """What a frame (i h w) is in bytes, as numbers."""
    made, scale, zero = to_bytes(frame)
    return scale * (made[0].float() - zero)


def weight_of(layer: Int8Conv2d) -> torch.Tensor:
    """o i k h w"""
    return layer.taps.float().movedim(0, 2) * layer.scale.view(-1, 1, 1, 1, 1)


@torch.no_grad()
@pytest.mark.parametrize("kernel", [3, 1, (3, 1, 1)])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_it_is_the_convolution_of_the_rounded_numbers(
    kernel: int | tuple[int, int, int], frames: int
) -> None:
    torch.manual_seed(0)
    layer = CausalConv3d(12, 7, kernel)
    ours = Int8CausalConv3d(layer)
    x = torch.randn(2, 12, frames, 6, 10) + 0.3
    near = torch.stack([torch.stack([rounded(frame) for frame in clip.unbind(1)], 1) for clip in x])
    layer.weight.copy_(weight_of(ours))
    assert torch.allclose(ours(x), layer(near), atol=1e-5)


@torch.no_grad()
def test_of_images_too() -> None:
    layer = torch.nn.Conv2d(16, 24, 3, padding=1)
    ours = Int8Conv2d(layer)
    x = torch.randn(3, 16, 9, 5)
    near = torch.stack([rounded(image) for image in x])
    want = F.conv2d(near, weight_of(ours)[:, :, 0], layer.bias, padding=1)
    assert torch.allclose(ours(x), want, atol=1e-5)


@torch.no_grad()
def test_the_largest_numbers_do_not_overflow() -> None:
    """All weights and values at their ends: a pair's sum of 202 * 81 * 2 fits into 16 bits."""
    layer = CausalConv3d(64, 8, 3)
    layer.weight.fill_(1.0)
    x = torch.full((1, 64, 3, 8, 8), 2.0)
    assert torch.allclose(Int8CausalConv3d(layer)(x), layer(x), rtol=1e-3)
    x[:, ::2] = -2.0
    layer.weight[:, ::2] = -1.0
    assert torch.allclose(Int8CausalConv3d(layer)(x), layer(x), rtol=6e-3)


@torch.no_grad()
def test_a_frame_of_nothing_or_one_number() -> None:
    layer = CausalConv3d(4, 4, 3)
    ours = Int8CausalConv3d(layer)
    for value in (0.0, 1e-30, -3.0):
        x = torch.full((1, 4, 2, 4, 4), value)
        assert torch.allclose(ours(x), layer(x), atol=0.05)


@torch.no_grad()
def test_pieces_have_the_numbers_of_the_whole() -> None:
    torch.manual_seed(1)
    ours = Int8CausalConv3d(CausalConv3d(8, 8, 3))
    x = torch.randn(1, 8, 7, 4, 6)
    for sizes in ([1, 2, 4], [1] * 7, [3, 1, 3]):
        cache = TimeCache()
        pieces = [ours(piece, cache) for piece in x.split(sizes, dim=2)]
        assert torch.equal(torch.cat(pieces, dim=2), ours(x))


@torch.no_grad()
@pytest.mark.parametrize("preset", ["tiny", "small 2.1"])
def test_a_codec_in_8_bits(preset: str) -> None:
    """Above 40 dB with random weights of a signal's size, and the same in a stream."""
    small = CodecConfig(
        base_dim=16, z_dim=16, dim_mult=(1, 2, 2), halve_time=(False, True), shortcut=False, patch_size=1
    )
    torch.manual_seed(0)
    codec = Codec(PRESETS.get(preset, small)).eval()
    codec.init_weights()
    z = torch.randn(2, codec.config.z_dim, 3, 4, 4)
    want = codec.pixels(z)
    convolutions_to_int8(codec.decoder, but=("conv_in", "conv_out"), narrow=1)
    made = codec.pixels(z)
    assert isinstance(codec.decoder.middle.block1.conv1, Int8CausalConv3d)
    assert isinstance(codec.decoder.conv_out, CausalConv3d)
    error = (made - want).square().mean()
    assert 10 * torch.log10((want.max() - want.min()) ** 2 / error) > 40
    pieces = torch.cat(list(decode_stream(codec, z)), dim=2)
    assert torch.allclose(pieces, made.clamp(-1, 1), atol=1e-5)


def test_other_dtypes_stay_as_they_are() -> None:
    module = torch.nn.Sequential(CausalConv3d(4, 4, 3).bfloat16(), torch.nn.Conv2d(4, 4, 3, stride=2))
    convolutions_to_int8(module, narrow=1)
    assert [type(part) for part in module] == [CausalConv3d, torch.nn.Conv2d]


@torch.no_grad()
def test_clips_of_the_trained_codec_stay_above_45_db() -> None:
    """The codec of the default model, on a clip of the world that it knows: 56 dB beside float32."""
    codec = load_codec(find_folder("default") / "vae", torch.float32)
    clips = render_clips(get_world("studio"), range(900, 901), 0, size=(64, 64), frames=13, fps=8.0)
    video = torch.stack([torch.from_numpy(clip.video.frames.copy()) for clip in clips])
    latents = codec.encode(video.permute(0, 4, 1, 2, 3).float() / 127.5 - 1)
    want = codec.decode(latents)
    convolutions_to_int8(codec.decoder, but=("conv_in", "conv_out"), narrow=1)
    error = (codec.decode(latents) - want).square().mean()
    assert 10 * torch.log10(4 / error) > 50


def test_a_model_in_int8_has_such_a_decoder(tiny_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    narrow = load_checkpoint(tiny_folder, "int8").codec
    assert not any(isinstance(part, Int8Conv2d) for part in narrow.modules())
    exchange = partial(convolutions_to_int8, narrow=1)
    monkeypatch.setattr("sorairo.checkpoints.folder.convolutions_to_int8", exchange)
    codec = load_checkpoint(tiny_folder, "int8").codec
    in_8_bits = [part for part in codec.modules() if isinstance(part, Int8Conv2d)]
    assert in_8_bits and not any(part in in_8_bits for part in codec.encoder.modules())
