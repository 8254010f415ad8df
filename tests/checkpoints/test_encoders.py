"""umT5 and the CLIP against transformers, lazily loaded, in little more memory than their weights."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image

from sorairo.checkpoints.encoders import load_text, load_vision
from sorairo.nn.quantised import Int8Linear
from sorairo.types import UserError
from tests.checkpoints.wan_folders import CLIP, randomised, tokenizer, umt5

CPU = torch.device("cpu")


def words_folder(folder, model=None, **shape):
    model = model or umt5(**shape)
    model.save_pretrained(folder / "text_encoder")
    tokenizer().save_pretrained(folder / "tokenizer")
    return model


def test_words_are_read_when_they_come_and_let_go(tmp_path):
    words_folder(tmp_path)
    encoder = load_text(tmp_path, 8, torch.float32, CPU)
    assert encoder._model is None and encoder.nbytes == 4 * sum(
        p.numel() for p in encoder.load().parameters()
    )
    first = encoder.encode(["a red ball"]).states
    assert not first[0, 4:].any() and first[0, :4].any()
    encoder.rest()
    assert encoder._model is not None
    encoder.keep = False
    encoder.rest()
    assert encoder._model is None
    assert torch.equal(encoder.encode(["a  red ball "]).states, first)
    with pytest.raises(UserError, match="2 words too long"):
        encoder.encode(["a red ball drops on the floor and it"])


def test_bf16_is_near_fp32(tmp_path):
    words_folder(tmp_path)
    dtypes = (torch.float32, torch.bfloat16)
    exact, near = (load_text(tmp_path, 16, d, CPU).encode(["a red ball drops"]).states for d in dtypes)
    assert 10 * torch.log10(exact.abs().max() ** 2 / (exact - near).square().mean()) > 40


def test_umt5_in_8_bits_is_near_fp32_and_keeps_its_last_product(tmp_path):
    """What goes into `wo` has outliers."""
    words_folder(tmp_path, d_model=64, d_kv=16, d_ff=96)
    exact = load_text(tmp_path, 16, torch.float32, CPU).encode(["a red ball drops"]).states
    eight = load_text(tmp_path, 16, torch.int8, CPU)
    near = eight.encode(["a red ball drops"]).states
    assert eight._model is not None
    layers = {n.rpartition(".")[2] for n, m in eight._model.named_modules() if isinstance(m, Int8Linear)}
    assert layers == {"q", "k", "v", "o", "wi_0", "wi_1"}
    assert 10 * torch.log10(exact.abs().max() ** 2 / (exact - near).square().mean()) > 38


def test_other_encoders_and_faults_are_named(tmp_path):
    words_folder(tmp_path)
    where = tmp_path / "text_encoder" / "config.json"
    values = json.loads(where.read_text())
    where.write_text(json.dumps(values | {"model_type": "t5"}))
    with pytest.raises(UserError, match="only 'bert' and 'umt5'"):
        load_text(tmp_path, 8, torch.float32, CPU)
    where.write_text(json.dumps(values | {"num_layers": 3}))
    with pytest.raises(UserError, match=r"missing: block\.2\.layer.* and 5 more"):
        load_text(tmp_path, 8, torch.float32, CPU).encode(["a ball"])
    (tmp_path / "tokenizer" / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"tokenizer\.json is missing"):
        load_text(tmp_path, 8, torch.float32, CPU)


def pieces(path):
    """The words of `tokenizer()` as SentencePiece keeps them."""
    from transformers.convert_slow_tokenizer import import_protobuf

    proto = import_protobuf()
    model = proto.ModelProto(trainer_spec={"model_type": "UNIGRAM", "unk_id": 2, "byte_fallback": True})
    kinds = {"<pad>": "CONTROL", "</s>": "CONTROL", "<unk>": "UNKNOWN"}
    for piece, score in json.loads(tokenizer().backend_tokenizer.to_str())["model"]["vocab"]:
        model.pieces.add(piece=piece, score=score, type=kinds.get(piece, "NORMAL"))
    path.write_bytes(model.SerializeToString())


def test_a_tokenizer_that_comes_as_spiece_model(tmp_path, monkeypatch):
    words_folder(tmp_path)
    prompts = ["a red ball drops", "  a  ball, then \u00e9", "", "balls fall"]
    want = [load_text(tmp_path, 64, torch.float32, CPU).tokens(prompt) for prompt in prompts]
    (tmp_path / "tokenizer" / "tokenizer.json").unlink()
    where = tmp_path / "tokenizer" / "spiece.model"
    pieces(where)
    encoder = load_text(tmp_path, 64, torch.float32, CPU)
    assert [encoder.tokens(prompt) for prompt in prompts] == want
    where.write_bytes(b"no pieces")
    with pytest.raises(UserError, match=r"spiece\.model is not a tokenizer"):
        load_text(tmp_path, 64, torch.float32, CPU)
    monkeypatch.setitem(sys.modules, "google.protobuf", None)
    with pytest.raises(UserError, match=r"spiece\.model.* pip install protobuf"):
        load_text(tmp_path, 64, torch.float32, CPU)


@pytest.mark.slow
def test_one_layer_of_umt5_at_its_real_width(tmp_path):
    model = umt5(d_model=4096, d_kv=64, d_ff=10240, num_layers=1, num_heads=64)
    for parameter in model.parameters():
        parameter.data.mul_(0.1)
    words_folder(tmp_path, model)
    encoder = load_text(tmp_path, 16, torch.float32, CPU)
    ids = encoder.tokens("a red ball drops")
    with torch.no_grad():
        padded = torch.tensor([ids + [0] * (16 - len(ids))])
        mask = (torch.arange(16) < len(ids)).long()[None]
        want = model(padded, mask).last_hidden_state[0, : len(ids)]
    got = encoder.encode(["a red ball drops"]).states[0, : len(ids)]
    assert (got - want).abs().max() < 1e-4 * want.abs().max()


def vision_folder(folder, **shape):
    from transformers import CLIPVisionConfig, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    model = randomised(CLIPVisionModel(CLIPVisionConfig(**shape)), 0.05)
    side = shape["image_size"]
    ready = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    model.save_pretrained(folder / "image_encoder")
    ready.save_pretrained(folder / "image_processor")
    return model, ready


SHAPES = {
    "tiny": CLIP | {"hidden_size": 24, "intermediate_size": 32},
    "real": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_attention_heads": 16,
        "num_hidden_layers": 2,  # the last is not used
        "image_size": 224,
        "patch_size": 14,
        "hidden_act": "gelu",
    },
}


@pytest.mark.parametrize("size", [(90, 50), (50, 90), (28, 28)])
@pytest.mark.parametrize("shape", ["tiny", pytest.param("real", marks=pytest.mark.slow)])
def test_pictures_are_seen_as_transformers_sees_them(tmp_path, shape, size):
    if shape == "real" and size != (90, 50):
        pytest.skip("one is enough")
    model, ready = vision_folder(tmp_path, **SHAPES[shape])
    vision = load_vision(tmp_path, torch.float32, CPU)
    frames = np.random.default_rng(0).integers(0, 255, (2, size[1], size[0], 3), dtype=np.uint8)
    pixels = ready([Image.fromarray(frame) for frame in frames], return_tensors="pt")["pixel_values"]
    assert (vision.framing(frames) - pixels).abs().max() < 1e-5
    with torch.no_grad():
        want = model(pixel_values=pixels, output_hidden_states=True).hidden_states[-2].flatten(0, 1)
    got = vision.tokens(frames)
    assert got.shape == (1, *want.shape) and (got[0] - want).abs().max() < 1e-4 * want.abs().max()


def test_pictures_made_ready_another_way_are_refused(tmp_path):
    vision_folder(tmp_path, **SHAPES["tiny"])
    where = tmp_path / "image_processor" / "preprocessor_config.json"
    values = json.loads(where.read_text())
    for change, match in (
        ({"do_center_crop": False}, "do_center_crop is off"),
        ({"resample": 2}, "only 3"),
        ({"size": {"height": 28, "width": 28}}, "only a size by shortest_edge"),
    ):
        where.write_text(json.dumps(values | change))
        with pytest.raises(UserError, match=match):
            load_vision(tmp_path, torch.float32, CPU)


PEAK = """
import resource, sys, torch, transformers
from pathlib import Path
from sorairo.checkpoints.encoders import load_text
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
small, large = (load_text(Path(path), 8, torch.bfloat16, torch.device("cpu")) for path in sys.argv[1:])
small.encode(["a red ball"])  # what the first use of torch and transformers takes
before = peak()
large._model = large.load()
print((peak() - before) / large.nbytes, large.nbytes)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="ru_maxrss is in kilobytes there")
def test_loading_umt5_in_bf16_takes_little_more_than_its_weights(tmp_path):
    """From a file in fp32, as it is published."""
    words_folder(tmp_path / "small")
    words_folder(tmp_path / "large", vocab_size=20000, d_model=512, d_ff=2048, num_layers=6)
    folders = [str(tmp_path / name) for name in ("small", "large")]
    command = [sys.executable, "-c", PEAK, *folders]
    out = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ).stdout
    ratio, size = map(float, out.split())
    assert size > 40e6 and ratio < 1.15
