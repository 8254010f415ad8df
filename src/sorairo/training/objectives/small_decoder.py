"""Training of the small decoder beside the codec whose latent space it reads."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from sorairo.codec.small import SmallDecoder, SmallDecoderConfig
from sorairo.training.objectives.codec import CodecBatch, CodecObjective

__all__ = ["SmallDecoderObjective", "write_small_decoder"]


@dataclass
class SmallDecoderObjective(CodecObjective):
    """As CodecObjective, but what learns is `small`; the codec is only what it is held against."""

    small: SmallDecoder = field(default_factory=lambda: SmallDecoder(SmallDecoderConfig()))

    def __post_init__(self) -> None:
        super().__post_init__()
        self.codec.requires_grad_(False)
        self.models = {"small": self.small}

    def settings(self) -> dict[str, Any]:
        """What decides the losses."""
        return super().settings() | {"small": asdict(self.small.config)}

    def pixels(self, z: Tensor) -> Tensor:
        """b z t h w -> b 3 t h w, not clamped"""
        return self.small(z.to(self.small.first.weight.dtype))

    def flops(self, batch: CodecBatch) -> float:
        """Three passes' worth of its products."""
        b, t, h, w, _ = batch.clips.shape
        config = self.small.config
        side, latents = config.space_factor, 1 + (t - 1) // config.time_factor
        return 3 * self.small.flops(b * latents * (h // side) * (w // side))

    def export(self, folder: Path) -> None:
        """decoder/config.json and decoder/model.safetensors (bf16)."""
        write_small_decoder(self.small, folder / "decoder")


def write_small_decoder(small: SmallDecoder, folder: Path) -> None:
    """Write a small decoder (bf16) in a folder of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: value.detach().bfloat16().contiguous() for name, value in small.state_dict().items()}
    (folder / "config.json").write_text(json.dumps(asdict(small.config), indent=2) + "\n")
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
