"""Prompts of any language -> one vector each, through multilingual-e5-small with four-bit weights."""

# Letters: b batch, l tokens, d width

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load
from torch import Tensor, nn

from sorairo.nn.weights import Blank
from sorairo.text.bert import Bert, BertConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["BLOCK", "WINDOW", "Encoder", "unpack"]

BLOCK = 32
"""Weights that share a scale."""

WINDOW = 128
"""Tokens that the encoder sees; whoever has more cuts them into pieces."""


def unpack(packed: Tensor, scales: Tensor) -> Tensor:
    """Four-bit weights -> float32 (rows, columns).

    packed: (rows, columns / 2) uint8; byte j of a block holds weight j in its low and weight j + 16 in its high half.
    scales: (rows, columns / 32) float16. Source: the Q4_0 blocks of ggml.
    """
    halves = packed.unflatten(-1, (-1, BLOCK // 2))
    levels = torch.cat([halves & 15, halves >> 4], -1).float() - 8  # rows blocks 32
    return (levels * scales.float()[..., None]).flatten(-2)


def add(state: dict[str, Tensor], additions: dict[str, Tensor]) -> None:
    """Add to matrices what was taught: NAME.high (rows, r) times NAME.low (r, columns)."""
    for name in {name.removesuffix(".low") for name in additions if name.endswith(".low")}:
        state[f"{name}.weight"] += additions[f"{name}.high"].float() @ additions[f"{name}.low"].float()


class Rows(nn.Module):
    """An embedding table that stays packed: ids (b l) -> (b l d)."""

    packed: Tensor
    scales: Tensor

    def __init__(self, packed: Tensor, scales: Tensor):
        super().__init__()
        self.register_buffer("packed", packed)
        self.register_buffer("scales", scales)

    def forward(self, ids: Tensor) -> Tensor:
        return unpack(self.packed[ids], self.scales[ids])


class Encoder:
    """multilingual-e5-small (Wang et al. 2024) with the tokens of the scripts that people type prompts in."""

    def __init__(self, bert: Bert, tokenizer: Tokenizer):
        self.bert = bert.eval().requires_grad_(False)
        self.tokenizer = tokenizer

    @classmethod
    def load(cls, *, tuned: bool = True) -> Encoder:
        """From the weights in the package; about half a second. tuned: with what recipes/guard_tune.py taught it."""
        from tokenizers import Tokenizer

        folder = files("sorairo.safety") / "weights"
        tensors = load((folder / "encoder.safetensors").read_bytes())
        config = json.loads((folder / "encoder.json").read_text())
        with Blank():
            bert = Bert(BertConfig(**config))
        packed = {name.removesuffix(".packed") for name in tensors if name.endswith(".packed")}
        state = {
            f"{name}.weight": unpack(tensors[f"{name}.packed"], tensors[f"{name}.scales"])
            for name in packed
            if name != "words"
        }
        state |= {
            name: tensor.float()
            for name, tensor in tensors.items()
            if not name.endswith((".packed", ".scales"))
        }
        if tuned and (folder / "tuned.safetensors").is_file():
            add(state, load((folder / "tuned.safetensors").read_bytes()))
        bert.words = Rows(tensors["words.packed"], tensors["words.scales"])  # type: ignore[assignment]
        bert.load_state_dict(state, strict=False)
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text())
        return cls(bert, tokenizer)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text with the marks of its begin and end; cut after WINDOW tokens."""
        ids = self.tokenizer.encode("query: " + text).ids
        return ids if len(ids) <= WINDOW else [*ids[: WINDOW - 1], ids[-1]]

    @torch.inference_mode()
    def vectors(self, ids: list[list[int]]) -> Tensor:
        """The mean states of token ids, of length one: (b d)."""
        lengths = torch.tensor([len(line) for line in ids])
        longest = int(lengths.max())
        padded = torch.tensor([line + [0] * (longest - len(line)) for line in ids])
        same = bool((lengths == longest).all())
        states = self.bert(padded, None if same else lengths)  # b l d
        seen = (torch.arange(longest) < lengths[:, None])[..., None]
        return nn.functional.normalize((states * seen).sum(1) / lengths[:, None], dim=-1)
