"""Small real things that many tests need: a text encoder and a whole checkpoint, with random weights."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest
import torch

VOCABULARY = """a red blue green ball cube drops rolls bounces on onto the floor and it & . , to left camera is
still then""".split()  # noqa: SIM905


@pytest.fixture(scope="session", autouse=True)
def provenance_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keys, index and cache of the tests, in processes that they start too, never those of whoever runs them."""
    folder = tmp_path_factory.mktemp("provenance")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SORAIRO_PROVENANCE", str(folder))
        patch.setenv("SORAIRO_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield folder


@pytest.fixture(scope="session")
def bert_source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny random BERT (width 32) with a tokenizer of a few words, as they are published: files side by side."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizerFast

    folder = tmp_path_factory.mktemp("bert")
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = {word: index for index, word in enumerate([*marks, *VOCABULARY])}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    BertTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    torch.manual_seed(0)
    model = BertModel(config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model.bfloat16().float().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory, bert_source: Path) -> Path:
    """A whole checkpoint at tiny size with random weights in float32; it was trained for nothing."""
    return _checkpoint(tmp_path_factory.mktemp("models") / "tiny", bert_source)


@pytest.fixture(scope="session")
def tiny_local_folder(tmp_path_factory: pytest.TempPathFactory, bert_source: Path) -> Path:
    """The same with local convolutions around its transformer."""
    return _checkpoint(tmp_path_factory.mktemp("models") / "tiny-local", bert_source, local=1, local_width=16)


@pytest.fixture(scope="session")
def tiny_data_folder(tmp_path_factory: pytest.TempPathFactory, bert_source: Path) -> Path:
    """One whose transformer predicts data, not velocities."""
    return _checkpoint(tmp_path_factory.mktemp("models") / "tiny-data", bert_source, "data")


def _checkpoint(
    folder: Path, bert_source: Path, predicts: Literal["velocity", "data"] = "velocity", **shape: int
) -> Path:
    from sorairo.checkpoints.info import ModelInfo
    from sorairo.checkpoints.save import save_checkpoint
    from sorairo.codec.model import Codec
    from sorairo.codec.presets import PRESETS as CODECS
    from sorairo.transformer.model import Transformer
    from sorairo.transformer.presets import PRESETS

    torch.manual_seed(0)
    mean, deviation = torch.randn(8).tolist(), (0.5 + torch.rand(8)).tolist()
    codec = Codec(replace(CODECS["tiny"], z_dim=8, latents_mean=tuple(mean), latents_std=tuple(deviation)))
    info = ModelInfo(
        name=folder.name,
        sizes=((64, 64), (96, 64), (64, 96)),
        max_frames=17,
        default_frames=5,
        conditioning=("frames",),
        text_len=16,
        vocabulary=tuple(VOCABULARY),
        default_steps=3,
    )
    transformer = Transformer(replace(PRESETS["tiny"], **shape))
    save_checkpoint(
        folder,
        codec,
        transformer,
        bert_source,
        info,
        shift=3.0,
        predicts=predicts,
        dtype=torch.float32,
    )
    return folder
