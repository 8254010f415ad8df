import json

import pytest
import torch

from sorairo.text.encoder import TextEncoder
from sorairo.text.prompt import clean, unknown_words
from sorairo.types import UserError

WORDS = """a red blue ball cube drops rolls on the floor and it bounces & camera still""".split()  # noqa: SIM905


def bert_folder(folder, width=32):
    """A tiny random BERT with a tokenizer of a few words, as transformers saves them."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    vocabulary = {word: i for i, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.enable_truncation(4)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=width, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=64, max_position_embeddings=64,
    )  # fmt: skip
    model = BertModel(config).eval().bfloat16().float()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.bfloat16().float().save_pretrained(folder)
    tokenizer.save(str(folder / "tokenizer.json"))
    return model


def test_states_are_transformers_with_zeros_behind(tmp_path):
    theirs = bert_folder(tmp_path)
    encoder = TextEncoder.load(tmp_path, max_length=16)
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


def test_too_long_says_by_how_many_words(tmp_path):
    bert_folder(tmp_path)
    encoder = TextEncoder.load(tmp_path, max_length=8)
    assert encoder.encode(["a red ball drops on the"]).lengths.tolist() == [8]
    with pytest.raises(UserError, match="1 word too long"):
        encoder.encode(["a red ball drops on the floor"])
    with pytest.raises(UserError, match="4 words too long"):
        encoder.encode(["a red ball drops on the floor and it bounces"])


def test_a_folder_that_is_no_text_encoder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"config\.json is missing"):
        TextEncoder.load(tmp_path)
    bert_folder(tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match="damaged"):
        TextEncoder.load(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(whole)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"hidden_size": 16}))
    with pytest.raises(UserError, match="do not fit"):
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
