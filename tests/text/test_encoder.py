import json
import shutil

import pytest
import torch

from sorairo.text.encoder import TextEncoder
from sorairo.text.prompt import clean, unknown_words
from sorairo.types import UserError


def test_states_are_transformers_with_zeros_behind(bert_source):
    from transformers import BertModel

    theirs = BertModel.from_pretrained(bert_source).eval()
    encoder = TextEncoder.load(bert_source, max_length=16)
    prompts = ["a red ball drops", "", "the  BLUE cube rolls &amp;amp; bounces"]
    states, lengths = encoder.encode(prompts)
    assert states.shape == (3, 16, 32)
    assert lengths.tolist() == [6, 2, 8]
    for prompt, state, length in zip(prompts, states, lengths, strict=True):
        ids = torch.tensor([encoder.tokenizer.encode(clean(prompt)).ids])
        with torch.no_grad():
            want = theirs(ids).last_hidden_state[0]
        assert (state[:length] - want).abs().max() < 1e-5
        assert not state[length:].any()


def test_too_long_says_by_how_many_words(bert_source):
    encoder = TextEncoder.load(bert_source, max_length=8)
    assert encoder.encode(["a red ball drops on the"]).lengths.tolist() == [8]
    with pytest.raises(UserError, match="1 word too long"):
        encoder.encode(["a red ball drops on the floor"])
    with pytest.raises(UserError, match="4 words too long"):
        encoder.encode(["a red ball drops on the floor and it bounces"])


def test_a_folder_that_is_no_text_encoder_is_refused(bert_source, tmp_path):
    with pytest.raises(UserError, match=r"config\.json is missing"):
        TextEncoder.load(tmp_path)
    shutil.copytree(bert_source, tmp_path, dirs_exist_ok=True)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        TextEncoder.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(whole)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 16}))
    with pytest.raises(UserError, match=r"belongs? to"):
        TextEncoder.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config | {"model_type": "t5"}))
    with pytest.raises(UserError, match="only 'bert'"):
        TextEncoder.load(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match="not a tokenizer"):
        TextEncoder.load(tmp_path)


def test_unknown_words():
    vocabulary = ["red", "ball", "the", "camera", "left"]
    assert unknown_words("The red ball, the camera's left.", vocabulary) == []
    assert unknown_words("A RED dragon; a dragon!", vocabulary) == ["a", "dragon"]
    assert unknown_words("anything goes", []) == []
