"""Names of the authors' own codec weights (Wan2.1_VAE, Wan2.2_VAE) <-> ours; pure, both ways.

Shapes are those of diffusers' AutoencoderKLWan (adapters/wan_codec.py). Source: github.com/Wan-Video/Wan2.2,
wan/modules/vae2_1.py and vae2_2.py: layers are numbered in one row, or, with shortcuts, row by row.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from sorairo.codec.model import CodecConfig
from sorairo.codec.presets import PRESETS
from sorairo.types import UserError

__all__ = ["name_to_original", "published_codec"]

# What is inside a residual block; the numbers count its norms, activations and convolutions.
BLOCK = (
    (r"norm1\.weight$", "residual.0.gamma"),
    (r"conv1\.", "residual.2."),
    (r"norm2\.weight$", "residual.3.gamma"),
    (r"conv2\.", "residual.6."),
)
AROUND = (
    (r"^quant\.", "conv1."),
    (r"^post_quant\.", "conv2."),
    (r"coder\.conv_in\.", "coder.conv1."),
    (r"coder\.norm_out\.weight$", "coder.head.0.gamma"),
    (r"coder\.conv_out\.", "coder.head.2."),
    (r"\.middle\.attention\.norm\.weight$", ".middle.1.norm.gamma"),
    (r"\.middle\.attention\.", ".middle.1."),
)
MIDDLE = {"block1": 0, "block2": 2}


def name_to_original(name: str, config: CodecConfig) -> str:
    """encoder.stages.0.down.time.weight -> encoder.downsamples.2.time_conv.weight, and so on."""
    if found := re.match(r"(encoder|decoder)\.stages\.(\d+)\.(?:blocks\.(\d+)|down|up)\.(.+)$", name):
        coder, stage, block, rest = found[1], int(found[2]), found[3], found[4]
        row = "downsamples" if coder == "encoder" else "upsamples"
        blocks = config.num_res_blocks + (coder == "decoder")
        place = blocks if block is None else int(block)
        number = f"{stage}.{row}.{place}" if config.shortcut else str(stage * (blocks + 1) + place)
        return f"{coder}.{row}.{number}.{_inside(rest)}"
    if found := re.match(r"(encoder|decoder)\.middle\.(block\d)\.(.+)$", name):
        return f"{found[1]}.middle.{MIDDLE[found[2]]}.{_inside(found[3])}"
    for ours, theirs in AROUND:
        name, changed = re.subn(ours, theirs, name)
        if changed:
            return name
    return name


def _inside(rest: str) -> str:
    """Of a residual block, or of a change of grid."""
    for ours, theirs in BLOCK:
        rest, changed = re.subn("^" + ours, theirs, rest)
        if changed:
            return rest
    return re.sub(r"^time\.", "time_conv.", re.sub(r"^space\.", "resample.1.", rest))


def published_codec(shapes: Mapping[str, tuple[int, ...]], where: str) -> CodecConfig:
    """The published codec that has these tensors: their layout leaves the rest to their code. Raises UserError."""
    base = shapes.get("encoder.conv1.weight", (0,))[0]
    z = shapes.get("conv2.weight", (0,))[0]
    for name in ("wan2.1", "wan2.2"):
        if (PRESETS[name].base_dim, PRESETS[name].z_dim) == (base, z):
            return PRESETS[name]
    raise UserError(
        f"{where} is neither Wan 2.1's codec nor Wan 2.2's, and no constants.json beside it says more."
    )
