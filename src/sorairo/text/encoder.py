"""Prompts -> the states that the transformer attends to, through a frozen BERT out of a checkpoint folder."""

# Letters: b batch, l tokens, d width

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import torch
from pydantic import Field

from sorairo.config import Schema, check, parse_json
from sorairo.nn.weights import Blank, check_fit, read_weights
from sorairo.text.bert import Bert, BertConfig, from_bert
from sorairo.text.prompt import check_text, clean
from sorairo.types import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["TEXT_LEN", "TextEncoder", "TextStates", "read_tokenizer", "token_ids"]

TEXT_LEN = 96


class BertFile(Schema):
    """The keys of a BertModel's config.json that decide its shape."""

    vocab_size: Annotated[int, Field(ge=1, le=1 << 21)] = 30522
    hidden_size: Annotated[int, Field(ge=1, le=8192)] = 384
    num_hidden_layers: Annotated[int, Field(ge=1, le=128)] = 6
    num_attention_heads: Annotated[int, Field(ge=1, le=256)] = 12
    intermediate_size: Annotated[int, Field(ge=1, le=1 << 16)] = 1536
    max_position_embeddings: Annotated[int, Field(ge=1, le=1 << 16)] = 512
    type_vocab_size: Annotated[int, Field(ge=1, le=1024)] = 2
    layer_norm_eps: Annotated[float, Field(gt=0, le=0.1)] = 1e-12


class TextStates(NamedTuple):
    """states: (b l d) float32, zeros behind the tokens. lengths: (b) int64, how many of the l are tokens."""

    states: torch.Tensor
    lengths: torch.Tensor


class TextEncoder:
    """A tokenizer and a frozen BERT. Weights are rounded to bfloat16, as they ship, and compute in float32, so
    that training and generating, in any dtype, see the same states."""

    def __init__(self, bert: Bert, tokenizer: Tokenizer, max_length: int = TEXT_LEN):
        self.bert = bert.bfloat16().float().eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.max_length = max_length

    @classmethod
    def load(cls, folder: Path | str, max_length: int = TEXT_LEN) -> TextEncoder:
        """From a folder with text_encoder/ and tokenizer/ (a checkpoint), or with both's files side by side (as a
        BERT is published). Raises UserError that names what is missing or wrong."""
        folder = Path(folder)
        model, tokens = folder / "text_encoder", folder / "tokenizer"
        if not model.is_dir():
            model = tokens = folder
        config = read_bert_config(model / "config.json")
        tensors = from_bert(read_weights(model, "model"))
        with torch.device("meta") if _too_large(config, tensors) else Blank():
            bert = Bert(config)
        check_fit(bert.state_dict(), tensors, model)
        bert.load_state_dict(tensors)
        return cls(bert, read_tokenizer(tokens / "tokenizer.json"), max_length)

    @property
    def width(self) -> int:
        return self.bert.words.embedding_dim

    def tokens(self, prompt: str, called: str = "The prompt") -> list[int]:
        """The token ids of a prompt, begin and end marks included. called: its name in an error.

        Raises UserError where it is too long.
        """
        return token_ids(self.tokenizer, prompt, self.max_length, called)

    @torch.inference_mode()
    def encode(self, prompts: list[str]) -> TextStates:
        """TextStates of prompts, l = max_length. An empty prompt is two marks. Raises UserError where too long."""
        coded = [self.tokens(prompt) for prompt in prompts]
        lengths = torch.tensor([len(ids) for ids in coded])
        longest = max(map(len, coded))
        ids = torch.tensor([ids + [0] * (longest - len(ids)) for ids in coded])  # b longest
        states = torch.zeros(len(prompts), self.max_length, self.width)
        same = bool((lengths == longest).all())
        states[:, :longest] = self.bert(ids, None if same else lengths)
        states[torch.arange(self.max_length) >= lengths[:, None]] = 0
        return TextStates(states, lengths)

    def rest(self) -> None:
        """No more prompts for now. This encoder is small, so it stays loaded."""


def _too_large(config: BertConfig, tensors: Mapping[str, torch.Tensor]) -> bool:
    """Whether the tensors cannot fill such a network, so that it need not have memory to be compared with them."""
    d = config.hidden_size
    least = config.vocab_size * d + config.num_hidden_layers * (4 * d * d + 2 * d * config.intermediate_size)
    return least > sum(tensor.numel() for tensor in tensors.values())


def token_ids(tokenizer: Tokenizer, prompt: str, max_length: int, called: str = "The prompt") -> list[int]:
    """The token ids of a prompt with the tokenizer's marks. called: the prompt's name in an error.

    Raises UserError where it is too long, by how many words, and where it is not Unicode.
    """
    coded = tokenizer.encode(clean(check_text(prompt, called)))
    if len(coded.ids) > max_length:
        # one place is the end mark's; what starts after the last token that fits is too many
        last = coded.offsets[max_length - 2][1]
        over = max(1, len(clean(prompt)[last:].split()))
        raise UserError(f"{called} is {over} word{'s' if over > 1 else ''} too long; shorten it by as many.")
    return coded.ids


def read_bert_config(path: Path) -> BertConfig:
    try:
        text = path.read_bytes()
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; a text encoder needs it.") from error
    values = parse_json(text, where=str(path))
    if values.get("model_type") != "bert":
        raise UserError(f"{path}: model_type is {values.get('model_type')!r}; only 'bert' is supported.")
    if values.get("hidden_act", "gelu") != "gelu":
        raise UserError(f"{path}: hidden_act is {values['hidden_act']!r}; only 'gelu' is supported.")
    check(BertFile, values, where=str(path))
    if values.get("hidden_size", 384) % values.get("num_attention_heads", 12):
        raise UserError(f"{path}: hidden_size is no multiple of num_attention_heads; copy it again.")
    return BertConfig(
        **{field.name: values[field.name] for field in fields(BertConfig) if field.name in values}
    )


def read_tokenizer(path: Path) -> Tokenizer:
    """A tokenizer.json, without the padding and cutting that it may ask for."""
    from tokenizers import Tokenizer

    if not path.is_file():
        raise UserError(f"{path} is missing; a text encoder needs it.")
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # tokenizers raises plain Exception
        raise UserError(f"{path} is not a tokenizer; copy it again.") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return tokenizer
