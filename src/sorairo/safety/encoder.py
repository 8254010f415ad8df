"""Prompts of any language -> one vector each, through multilingual-e5-small with four-bit weights."""

# Letters: b batch, l tokens, d width

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load
from torch import Tensor, nn

from sorairo.nn.weights import Blank
from sorairo.text.bert import Bert, BertConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["BLOCK", "WINDOW", "Encoder", "add", "unpack"]

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

    def __init__(self, bert: Bert, tokenizer: Tokenizer, taught: nn.ModuleList | None = None):
        """taught: what takes the place of the last layers in the second kind of vectors."""
        self.bert = bert.eval().requires_grad_(False)
        self.tokenizer = tokenizer
        self.taught = taught if taught is None else taught.eval().requires_grad_(False)

    @classmethod
    def load(cls) -> Encoder:
        """From the weights in the package; about half a second."""
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
        bert.words = Rows(tensors["words.packed"], tensors["words.scales"])  # type: ignore[assignment]
        bert.load_state_dict(state, strict=False)
        additions = load((folder / "taught.safetensors").read_bytes())
        first = min(int(name.split(".")[1]) for name in additions if name.startswith("layers."))
        add(state, additions)
        with Blank():
            taught = Bert(BertConfig(**config)).layers[first:]
        taught.load_state_dict(
            {
                f"{int(number) - first}.{rest}": tensor
                for name, tensor in state.items()
                if name.startswith("layers.")
                for number, rest in [name.removeprefix("layers.").split(".", 1)]
                if int(number) >= first
            }
        )
        tokenizer = Tokenizer.from_str((folder / "tokenizer.json").read_text())
        return cls(bert, tokenizer, taught)

    def ids(self, text: str) -> list[int]:
        """Token ids of a text with the marks of its begin and end; cut after WINDOW tokens."""
        ids = self.tokenizer.encode("query: " + text).ids
        return ids if len(ids) <= WINDOW else [*ids[: WINDOW - 1], ids[-1]]

    def vectors(self, ids: list[list[int]]) -> Tensor:
        """The mean states of token ids, of length one: (b d)."""
        return self.both(ids)[0]

    @torch.inference_mode()
    def both(self, ids: list[list[int]]) -> tuple[Tensor, Tensor]:
        """The mean states of token ids, of length one, by the encoder's own last layers and by the taught ones: (b d)
        twice. The layers before are computed once."""
        lengths = torch.tensor([len(line) for line in ids])
        longest = int(lengths.max())
        padded = torch.tensor([line + [0] * (longest - len(line)) for line in ids])
        place = torch.arange(longest)
        seen = place < lengths[:, None]  # b l
        bias = None
        if not bool(seen.all()):
            bias = torch.zeros(seen.shape).masked_fill(~seen, -torch.inf)[:, None, None]
        bert, layers = self.bert, list(self.bert.layers)
        first = len(layers) - len(self.taught or ())
        x = bert.norm(bert.words(padded) + bert.places(place) + bert.kinds.weight[0])  # b l d
        for layer in layers[:first]:
            x = layer(x, bias)

        def mean(last: Iterable[nn.Module]) -> Tensor:
            states = x
            for layer in last:
                states = layer(states, bias)
            return nn.functional.normalize((states * seen[..., None]).sum(1) / lengths[:, None], dim=-1)

        own = mean(layers[first:])
        return own, own if self.taught is None else mean(self.taught)
