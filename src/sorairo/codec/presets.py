"""Named codec shapes. `default` is the one that ships; `tiny` is for tests; the others are Wan's own."""

from __future__ import annotations

from sorairo.codec.model import CodecConfig

__all__ = ["PRESETS"]

PRESETS: dict[str, CodecConfig] = {
    "tiny": CodecConfig(base_dim=8, z_dim=48, dim_mult=(1, 2, 2), num_res_blocks=1),
    "default": CodecConfig(base_dim=64, z_dim=24, dim_mult=(1, 1), num_res_blocks=1, halve_time=(True,)),
    "wan2.1": CodecConfig(
        base_dim=96,
        z_dim=16,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        halve_time=(False, True, True),
        shortcut=False,
        patch_size=1,
    ),
    "wan2.2": CodecConfig(
        base_dim=160,
        decoder_base_dim=256,
        dim_mult=(1, 2, 4, 4),
        num_res_blocks=2,
        halve_time=(False, True, True),
        patch_size=2,
    ),
}
