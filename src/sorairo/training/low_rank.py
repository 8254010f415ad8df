"""Low-rank updates that are trained (LoRA), put into a transformer from outside and written as a file of their own.

W' = W + alpha / rank * up @ down        Source: Hu et al. 2021 (arXiv 2106.09685), equation 3.
"""

# Letters: o outputs, i inputs, r rank

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from sorairo.checkpoints.adapters.lora import original_name
from sorairo.files import whole_file
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

__all__ = ["TARGETS", "LoraConfig", "LoraLinear", "add_lora", "lora_layers", "merged", "write_lora"]

TARGETS = {
    "attention": ("self_attention.q", "self_attention.k", "self_attention.v", "self_attention.out"),
    "words": ("cross_attention.q", "cross_attention.k", "cross_attention.v", "cross_attention.out"),
    "feed_forward": ("feed_forward.up", "feed_forward.down"),
}
"""Names of layers of every block that may be changed."""


@dataclass(frozen=True, kw_only=True)
class LoraConfig:
    """rank: of every change, at least 1. alpha: changes are scaled by alpha / rank. targets: names of TARGETS."""

    rank: int = 16
    alpha: float = 16.0
    targets: tuple[str, ...] = tuple(TARGETS)

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise UserError(f"The rank of a LoRA is at least 1, not {self.rank}.")
        if not 0 < self.alpha < 1e6:
            raise UserError(f"The alpha of a LoRA is above 0, not {self.alpha:g}.")
        unknown = [name for name in self.targets if name not in TARGETS]
        if unknown or not self.targets:
            named = repr(unknown[0]) if unknown else "nothing"
            raise UserError(f"A LoRA cannot change {named}; its targets are {', '.join(TARGETS)}.")


class LoraLinear(nn.Linear):
    """A linear layer whose weights stay, and whose change is trained. It has the layer's name and its weights'."""

    def __init__(self, layer: nn.Linear, config: LoraConfig, generator: torch.Generator):
        super().__init__(layer.in_features, layer.out_features, bias=layer.bias is not None, device="meta")
        self.weight, self.bias = layer.weight, layer.bias
        self.scale = config.alpha / config.rank
        down = torch.randn(config.rank, layer.in_features, generator=generator) / layer.in_features**0.5
        self.lora_down = nn.Parameter(down.to(layer.weight.device, layer.weight.dtype))  # r i
        self.lora_up = nn.Parameter(layer.weight.new_zeros(layer.out_features, config.rank))  # o r

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input) + self.scale * F.linear(F.linear(input, self.lora_down), self.lora_up)


def add_lora(transformer: Transformer, config: LoraConfig, seed: int = 0) -> None:
    """Freeze a transformer and give its blocks changes that are trained; at first they change nothing.

    Raises UserError for a rank that is more than the smallest layer has.
    """
    transformer.requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for block in transformer.blocks:
        for target in config.targets:
            for name in TARGETS[target]:
                owner, _, leaf = name.rpartition(".")
                parent = block.get_submodule(owner)
                layer = getattr(parent, leaf)
                if config.rank > min(layer.in_features, layer.out_features):
                    most = min(layer.in_features, layer.out_features)
                    raise UserError(
                        f"A rank of {config.rank} is more than this model's layers have ({most})."
                    )
                setattr(parent, leaf, LoraLinear(layer, config, generator))


def lora_layers(transformer: nn.Module) -> Iterator[tuple[str, LoraLinear]]:
    """(name, layer) of every changed layer."""
    for name, module in transformer.named_modules():
        if isinstance(module, LoraLinear):
            yield name, module


@torch.no_grad()
def merged(transformer: Transformer) -> dict[str, Tensor]:
    """The weights of a plain transformer that computes the same, in float32."""
    weights = {
        name: value.float() for name, value in transformer.state_dict().items() if ".lora_" not in name
    }
    for name, layer in lora_layers(transformer):
        weights[f"{name}.weight"] = weights[f"{name}.weight"] + layer.scale * (
            layer.lora_up.float() @ layer.lora_down.float()
        )
    return weights


def write_lora(transformer: Transformer, path: Path, config: LoraConfig, about: dict[str, str]) -> None:
    """Write the changes under the names of Wan's authors, which ComfyUI, diffusers and --lora read.

    up is stored times alpha / rank and no alpha is stored, so every reader computes the same.
    about: goes into the metadata.
    """
    tensors: dict[str, Tensor] = {}
    for name, layer in lora_layers(transformer):
        stem = f"diffusion_model.{original_name(name)}"
        tensors[f"{stem}.lora_A.weight"] = layer.lora_down.detach().to("cpu", torch.float32).contiguous()
        tensors[f"{stem}.lora_B.weight"] = (layer.scale * layer.lora_up.detach().float()).cpu().contiguous()
    metadata = {"format": "pt", "rank": str(config.rank), "targets": json.dumps(config.targets), **about}
    with whole_file(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)
