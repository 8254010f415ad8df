import json
import shutil

import pytest
import torch

from sorairo.text.encoder import TextEncoder
from sorairo.text.prompt import clean, denials, unknown_words, words
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


def test_words_of_scripts_that_combine_are_whole():
    assert words("एक लाल गेंद गिरती है।") == ["एक", "लाल", "गेंद", "गिरती", "है"]
    assert words("می\u200cرود und cafe\u0301") == ["می\u200cرود", "und", "café"]
    assert words("It\u2019s the camera's 'red' ball, twenty-two") == [
        "it's", "the", "camera's", "red", "ball", "twenty", "two",
    ]  # fmt: skip
    assert words("กล้องสีแดง") == ["กล้องสีแดง"] and words("一个红球滚动。") == ["一个红球滚动"]


def test_emoji_are_words_and_punctuation_is_none():
    assert words("🔴⚽") == ["🔴", "⚽"] and words("a🔴ball") == ["a", "🔴", "ball"]
    assert words("👩🏽\u200d🚀 ❤\ufe0f") == ["👩🏽\u200d🚀", "❤\ufe0f"]
    assert words("... ?! -- \u2014 ' _ \u00b0") == []
    assert unknown_words("a red ball 🔴", ["a", "red", "ball"]) == ["🔴"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("no ball, not red", ["no ball", "not red"]),
        ("A cube without a shadow", ["without a shadow"]),
        ("The ball doesn\u2019t bounce.", ["doesn\u2019t bounce"]),
        ("房间里没有人", ["没有人"]),
        ("A northern note about nothingness", []),
        ("A red ball rolls to the right.", []),
    ],
)
def test_denials(text, found):
    assert denials(text) == found


def test_a_text_that_is_too_long_or_broken_is_called_by_its_name(bert_source):
    encoder = TextEncoder.load(bert_source, max_length=8)
    with pytest.raises(UserError, match=r"^--negative is 1 word too long"):
        encoder.tokens("a red ball drops on the floor", "--negative")
    with pytest.raises(UserError, match=r"^The prompt has a byte that is not UTF-8"):
        encoder.encode(["a \udcff ball"])
