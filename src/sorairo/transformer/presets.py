"""Named shapes of the transformer."""

from __future__ import annotations

from dataclasses import replace

from sorairo.transformer.model import TransformerConfig

__all__ = ["PRESETS"]

# What Wan's published transformers have in common
WAN = TransformerConfig(channels=16, head_dim=128, text_dim=4096, text_len=512)

PRESETS = {
    # for tests: seconds, not quality
    "tiny": TransformerConfig(
        channels=8, layers=2, heads=2, head_dim=16, hidden=64, text_dim=32, text_len=16, freq_dim=32
    ),
    # ships in the package: 8M parameters, what a hundred thousand clips can teach
    "default": TransformerConfig(channels=24, layers=8, heads=4, hidden=768),
    "wan-1.3b": replace(WAN, layers=30, heads=12, hidden=8960),
    "wan-5b": replace(WAN, layers=30, heads=24, hidden=14336, channels=48),
    "wan-14b": replace(WAN, layers=40, heads=40, hidden=13824),
}
