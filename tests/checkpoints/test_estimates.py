from dataclasses import replace

import pytest
import torch

from sorairo.checkpoints.memory import decoding
from sorairo.checkpoints.memory.decoding import decoding_memory
from sorairo.checkpoints.memory.estimates import KNOWN, Ask
from sorairo.codec.presets import PRESETS as CODECS
from sorairo.dit.estimates import KNOWN as DITS
from sorairo.dit.estimates import blueprint
from sorairo.transformer.block import Block
from sorairo.types import UserError


def test_dit_xl_is_known_before_it_is_pulled():
    plan = blueprint("facebook/DiT-XL-2-256", None)
    assert {part.name: part.parameters for part in plan.parts} == {
        "transformer": 674_834_720,
        "vae": 83_653_863,
    }
    kept, freed = plan.needs(plan.asks[0], torch.bfloat16)
    weights = 2 * (674_834_720 + 83_653_863)
    assert weights < kept < 1.3 * weights
    assert 2 * 674_834_720 < freed < kept


def test_what_cannot_be_told_is_said(tmp_path):
    plan = DITS["facebook/DiT-XL-2-512"]()
    with pytest.raises(UserError, match="single pictures of 512x512 only"):
        plan.needs(Ask(size=(256, 256)), torch.bfloat16)
    with pytest.raises(UserError, match="sorairo models pull a/b"):
        blueprint("a/b", None)
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(UserError, match="is a FluxPipeline"):
        blueprint("x", tmp_path)


def test_a_video_folder_is_told_without_loading_it(tiny_folder):
    from sorairo.checkpoints.folder import load_checkpoint

    plan = blueprint("tiny", tiny_folder)
    model = load_checkpoint(tiny_folder, "fp32")
    counts = {part.name: part.parameters for part in plan.parts}
    assert counts["transformer"] == sum(p.numel() for p in model.transformer.parameters())
    assert counts["vae"] == sum(p.numel() for p in model.codec.parameters())
    assert [ask.size for ask in plan.asks] == [model.info.sizes[0]] * 3
    short, _, long = (plan.needs(ask, torch.float32)[0] for ask in plan.asks)
    assert 4 * sum(counts.values()) < short < long
    with pytest.raises(UserError, match="multiples of"):
        plan.needs(Ask(size=(97, 96), frames=17), torch.float32)


def test_the_published_video_models_have_their_parameters():
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(
        d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=256384, is_gated_act=True
    )
    config.dense_act_fn, config.is_gated_act = "gelu_new", True
    with torch.device("meta"):
        encoder = UMT5EncoderModel(config)
    for repo, transformer in (
        ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", 1_418_996_800),
        ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", 4_999_787_712),
    ):
        counts = {part.name: part.parameters for part in KNOWN[repo]().parts}
        assert counts["transformer"] == transformer
        assert counts["text_encoder"] == sum(p.numel() for p in encoder.parameters())


@pytest.mark.parametrize("preset", ["wan2.1", "wan2.2"])
def test_a_long_clip_is_told_from_its_first_pieces(preset, monkeypatch):
    config = replace(CODECS[preset], base_dim=8, decoder_base_dim=8 if preset == "wan2.2" else None)
    monkeypatch.setattr("sorairo.codec.model.LARGE", 1)  # so that a small clip goes piece by piece
    latents = (config.z_dim, 5, 2, 2)
    told = decoding_memory(config, latents, torch.float32)
    monkeypatch.setattr(decoding, "STEADY", 99)
    run = decoding_memory(config, latents, torch.float32)
    assert all(0.99 < one / other < 1.06 for one, other in zip(told, run, strict=True)), (told, run)


def test_14b_is_told_from_a_few_blocks_and_pieces(monkeypatch):
    """Building its 40 blocks, and decoding its 21 latent frames twice, took minutes."""
    built, decoded = [], []
    init, begin = Block.__init__, torch.nn.Conv3d.forward

    def counted(self, *given, **named):
        built.append(self)
        init(self, *given, **named)

    def convolved(self, x):
        decoded.append(self)
        return begin(self, x)

    monkeypatch.setattr(Block, "__init__", counted)
    monkeypatch.setattr(torch.nn.Conv3d, "forward", convolved)
    plan = KNOWN["Wan-AI/Wan2.1-T2V-14B-Diffusers"]()
    assert plan.parts[1].parameters == 14_288_491_584
    plan.needs(Ask(size=(832, 480), frames=81), torch.bfloat16)
    once = len(decoded)
    assert len(built) <= 6 and once < 1000
    plan.needs(Ask(size=(832, 480), frames=161), torch.bfloat16)
    assert len(decoded) == 2 * once  # no more for twice the frames
