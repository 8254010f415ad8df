"""Training of the codec: the fitted encoder, the objective, the export."""

import json
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sorairo.checkpoints.adapters.wan_codec import config_from_wan, state_from_wan
from sorairo.checkpoints.layouts import decoder_source
from sorairo.codec.latent_space import LatentSpace
from sorairo.codec.losses import charbonnier, psnr
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.presets import PRESETS
from sorairo.codec.small import SmallDecoder, SmallDecoderConfig
from sorairo.data.shards import write_shard
from sorairo.training.objectives.codec import CodecObjective, CodecObjectiveConfig, write_codec
from sorairo.training.objectives.codec_data import Crops, CropShape, as_model_video
from sorairo.training.objectives.codec_start import fit_encoder
from sorairo.training.objectives.small_decoder import SmallDecoderObjective
from sorairo.types import UserError

SMALL = CodecConfig(base_dim=32, z_dim=8, dim_mult=(1, 1), halve_time=(True,))


def moving_discs(count: int, frames: int = 9, side: int = 32) -> np.ndarray:
    """uint8 n t h w 3: a soft disc of some colour glides over a plain ground."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:side, :side]
    clips = np.empty((count, frames, side, side, 3))
    for clip in clips:
        ground, colour = rng.uniform(40, 215, (2, 3))
        start, speed = rng.uniform(8, side - 8, 2), rng.uniform(-1.5, 1.5, 2)
        for t in range(frames):
            cx, cy = start + t * speed
            inside = 1 / (1 + np.exp(np.hypot(x - cx, y - cy) - 6))[..., None]
            clip[t] = ground * (1 - inside) + colour * inside
    return clips.round().astype(np.uint8)


@pytest.fixture(scope="module")
def video() -> torch.Tensor:
    return as_model_video(torch.from_numpy(moving_discs(48)), torch.float32)


@pytest.fixture(scope="module")
def space(video) -> LatentSpace:
    return LatentSpace.fit([video], z=8, shared=4)


def test_the_fitted_encoder_computes_the_space(video, space):
    torch.manual_seed(0)
    codec = Codec(SMALL)
    fit_encoder(codec, space, video[:40])
    new = video[40:]
    error = (codec.encode(new) - space.encode(new)).square().mean().sqrt()
    assert error < 0.1 * space.encode(new).std()
    still = new[:, :, :1]
    assert (codec.encode(still) - space.encode(still)).square().mean().sqrt() < 0.1 * space.encode(
        still
    ).std()


def test_other_forms_are_refused(video, space):
    with pytest.raises(UserError, match="default's form"):
        fit_encoder(Codec(PRESETS["tiny"]), space, video[:2])


def test_losses():
    zero, one = torch.zeros(2, 3, 1, 4, 4), torch.ones(2, 3, 1, 4, 4)
    assert abs(float(charbonnier(zero))) < 1e-7
    torch.testing.assert_close(charbonnier(one, eps=0.1), torch.tensor(1.01).sqrt() - 0.1)
    torch.testing.assert_close(psnr(one, zero), torch.full((2,), 10 * np.log10(4), dtype=torch.float32))


@pytest.fixture
def objective(tmp_path, space) -> CodecObjective:
    for split in ("train", "heldout"):
        write_shard(tmp_path / f"{split}-0000.safetensors", {"frames": moving_discs(4)}, [{}] * 4)
    torch.manual_seed(0)
    shapes = (CropShape(frames=5, size=(16, 32), batch=2, weight=1),)
    return CodecObjective(
        codec=Codec(SMALL),
        space=space,
        config=CodecObjectiveConfig(shapes=shapes, held_out=2),
        train_shards=[tmp_path / "train-0000.safetensors"],
        held_out_shards=[tmp_path / "heldout-0000.safetensors"],
    )


def test_the_objective_trains_the_decoder_alone(objective, tmp_path):
    batch = objective.batch(3)
    assert batch.clips.shape == (2, 5, 32, 16, 3)
    assert torch.equal(batch.clips, objective.batch(3).clips)
    assert not torch.equal(batch.clips, objective.batch(4).clips)
    total, parts = objective.loss(batch, 3)
    total.backward()
    assert {"pixels", "edges", "psnr"} == set(parts)
    trained = {name.split(".")[0] for name, p in objective.codec.named_parameters() if p.grad is not None}
    assert trained == {"decoder", "post_quant"}
    assert objective.flops(batch) > 0
    with torch.no_grad():
        scores = objective.sample(tmp_path, 3)
    assert scores["psnr"] < scores["psnr_linear"]  # an untrained decoder against the space's own
    assert (tmp_path / "held_out.png").exists()


def test_a_small_decoder_learns_beside_it(objective, space, tmp_path):
    torch.manual_seed(0)
    small = SmallDecoder(SmallDecoderConfig(z_dim=8, width=16, blocks=1))
    small.begin_as(space)
    parts = {f.name: getattr(objective, f.name) for f in fields(objective) if f.init}
    learner = SmallDecoderObjective(**parts, small=small)
    learner.loss(learner.batch(3), 3)[0].backward()
    assert all(p.grad is not None for p in small.parameters())
    assert all(p.grad is None for p in objective.codec.parameters())
    with torch.no_grad():
        scores = learner.sample(tmp_path, 3)
    assert abs(scores["psnr"] - scores["psnr_linear"]) < 0.5  # it begins as the linear inverse
    assert learner.flops(learner.batch(3)) > 0

    made = {"frames": moving_discs(3), "latents": torch.randn(3, 8, 5, 4, 4).half()}
    write_shard(tmp_path / "own.safetensors", made, [{}] * 3)
    learner = replace(learner, own_shards=[tmp_path / "own.safetensors"], own_batch=2, own_latents=3)
    own, real = learner.batch(4), learner.batch(6)
    assert (
        own.clips.shape == (2, 5, 32, 32, 3)
        and own.latents is not None
        and own.latents.shape == (2, 8, 3, 4, 4)
    )
    assert real.latents is None and torch.equal(real.clips, objective.batch(6).clips)
    assert learner.loss(own, 4)[0] > 0
    learner.export(tmp_path)
    source = decoder_source(tmp_path / "decoder")
    assert source.config == small.config
    assert source.entries.keys() == small.state_dict().keys()


def test_the_export_is_the_codec(objective, tmp_path):
    write_codec(objective.codec, tmp_path / "vae")
    config = config_from_wan(json.loads((tmp_path / "vae" / "config.json").read_text()))
    codec = Codec(config)
    state = load_file(tmp_path / "vae" / "diffusion_pytorch_model.safetensors")
    codec.load_state_dict(state_from_wan(state, config, list(codec.state_dict())))
    video = torch.rand(1, 3, 5, 16, 16) * 2 - 1
    with torch.no_grad():
        expected = objective.codec.bfloat16().float().moments(video)[0]
        torch.testing.assert_close(codec.moments(video)[0], expected, atol=1e-4, rtol=0)
        assert torch.allclose(codec.moments(video)[1].exp().sqrt(), torch.tensor(0.05), atol=1e-3)


def test_no_clips_is_a_users_error():
    with pytest.raises(UserError, match="render some first"):
        Crops([], (), 0)


def test_sizes_that_no_clip_has_are_refused(tmp_path: Path):
    write_shard(tmp_path / "a.safetensors", {"frames": moving_discs(2, frames=1, side=16)}, [{}] * 2)
    shapes = (CropShape(frames=9, size=(64, 64), batch=1, weight=1),)
    with pytest.raises(UserError, match="no clip of 9 frames of 64x64"):
        Crops([tmp_path / "a.safetensors"], shapes, 0)
