import json
import shutil

import numpy as np
import pytest
import torch

import sorairo
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.save import save_checkpoint
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.small import SmallDecoder, SmallDecoderConfig
from sorairo.nn.causal_conv import TimeCache
from sorairo.transformer.model import Transformer
from sorairo.types import UserError


@pytest.fixture
def space():
    return LatentSpace.fit([torch.rand(2, 3, 5, 32, 32) * 2 - 1], z=8, shared=4, rows=60)


@pytest.fixture
def decoder(space):
    torch.manual_seed(0)
    made = SmallDecoder(SmallDecoderConfig(z_dim=8, width=12, blocks=2)).eval().requires_grad_(False)
    made.begin_as(space)
    return made


def stir(decoder):
    """So that the blocks count."""
    for block in decoder.blocks:
        torch.nn.init.normal_(block.over.weight, std=0.2)
    for head in (decoder.first, decoder.after):
        head.weight[:, 8:].normal_(std=0.2)


def test_it_begins_as_the_best_linear_inverse(space, decoder):
    latents = torch.randn(2, 8, 4, 3, 2)
    assert torch.allclose(decoder.decode(latents), space.decode(latents), atol=1e-5)


@pytest.mark.parametrize("parts", [(1, 3), (2, 2), (1, 1, 1, 1)])
def test_pieces_make_the_pixels_of_the_whole(decoder, parts):
    stir(decoder)
    latents, cache = torch.randn(1, 8, 4, 3, 5), TimeCache()
    whole = decoder(latents)
    assert whole.shape == (1, 3, 7, 24, 40)
    pieces = [decoder(part, cache) for part in latents.split(parts, dim=2)]
    assert torch.allclose(torch.cat(pieces, dim=2), whole, atol=1e-6)


def test_a_large_clip_goes_through_in_pieces(decoder, monkeypatch):
    stir(decoder)
    latents = torch.randn(1, 8, 4, 3, 5)
    whole = decoder.decode(latents)
    monkeypatch.setattr("sorairo.codec.small.LARGE", 3 * 5 * 12)  # a latent frame at a time
    assert torch.allclose(decoder.decode(latents), whole, atol=1e-6)


def test_no_frame_looks_ahead(decoder):
    stir(decoder)
    latents = torch.randn(1, 8, 4, 3, 3)
    changed = latents.clone()
    changed[:, :, 3] += 1
    assert torch.equal(decoder(latents)[:, :, :5], decoder(changed)[:, :, :5])


@pytest.fixture
def with_decoder(tiny_folder, tmp_path):
    """The tiny model with a small decoder beside its codec."""
    model = load_checkpoint(tiny_folder, "fp32")
    codec = model.codec.config
    assert isinstance(model.transformer, Transformer)
    torch.manual_seed(0)
    small = SmallDecoder(
        SmallDecoderConfig(
            z_dim=codec.z_dim,
            width=8,
            blocks=1,
            time_factor=codec.time_factor,
            space_factor=codec.space_factor,
        )
    )
    save_checkpoint(
        tmp_path / "m",
        model.codec,
        model.transformer,
        tiny_folder,
        model.info,
        decoder=small,
        dtype=torch.float32,
    )
    return tmp_path / "m", small


def test_a_folder_with_one_makes_its_frames_by_it(with_decoder, tiny_folder):
    folder, small = with_decoder
    loaded = load_checkpoint(folder, "fp32")
    assert loaded.decoder is not None
    assert loaded.decoder.config == small.config
    latents = torch.randn(1, small.config.z_dim, 2, 2, 2)
    assert torch.allclose(loaded.pixels(latents), small.decode(latents), atol=1e-6)
    plain = load_checkpoint(tiny_folder, "fp32")
    assert torch.equal(plain.pixels(latents), plain.codec.decode(latents))
    one, other = (
        sorairo.load(path, dtype="fp32").generate("a red ball", frames=5, steps=1, seed=3)
        for path in (folder, tiny_folder)
    )
    assert not np.array_equal(one.video.frames, other.video.frames)


def test_diffusers_leaves_it_alone(with_decoder):
    from diffusers.pipelines.wan.pipeline_wan import WanPipeline

    pipeline = WanPipeline.from_pretrained(with_decoder[0])
    assert pipeline.vae.config["z_dim"] == with_decoder[1].config.z_dim


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"z_dim": 7}, "reads other latents than vae/ makes"),
        ({"width": 4096}, "do not belong together"),
        ({"blocks": "many"}, "blocks"),
        ({"depth": 3}, "depth"),
    ],
)
def test_a_wrong_one_is_refused(with_decoder, tmp_path, change, said):
    folder = shutil.copytree(with_decoder[0], tmp_path / "wrong")
    path = folder / "decoder" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(UserError, match=said):
        load_checkpoint(folder, "fp32")
