"""Named shapes of the transformer."""

from __future__ import annotations

from sorairo.transformer.model import TransformerConfig

__all__ = ["PRESETS"]

PRESETS = {
    # for tests: seconds, not quality
    "tiny": TransformerConfig(
        channels=8, layers=2, heads=2, head_dim=16, hidden=64, text_dim=32, text_len=16, freq_dim=32
    ),
    # ships in the package: 8M parameters, what a hundred thousand clips can teach
    "default": TransformerConfig(channels=24, layers=8, heads=4, hidden=768),
}
