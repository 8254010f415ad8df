"""ModelInfo of a published Wan, whose folder has no sorairo.json: from its configuration, and by its name where that
does not say enough."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sorairo.checkpoints.info import ModelInfo
from sorairo.codec.model import CodecConfig
from sorairo.transformer.model import TransformerConfig

__all__ = ["TEXT_LEN", "published_constants", "published_info"]

TEXT_LEN = 512
P480 = ((832, 480), (480, 832), (624, 624), (704, 544), (544, 704))
P720 = ((1280, 720), (720, 1280), (960, 960), (1088, 832), (832, 1088))
P704 = ((1280, 704), (704, 1280), (960, 960), (832, 480), (480, 832))  # sides are multiples of 32

# What the files of two models, equal in shape, do not tell apart
BY_REPO: dict[str, dict[str, Any]] = {
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": {"sizes": P480},
    "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers": {"sizes": P720 + P480},
    "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers": {"sizes": P720 + P480, "default_guidance": 5.5},
}


def published_info(
    name: str,
    repo: str | None,
    transformer: TransformerConfig,
    codec: CodecConfig,
    *,
    experts: bool,
    own_times: bool,
    times: tuple[int, ...] = (),
) -> ModelInfo:
    """Sizes, length, rate and settings as Wan's authors use them. repo: where the folder was pulled from, if it was."""
    folded = codec.patch_size > 1  # Wan 2.2's own codec
    if transformer.condition_channels:
        last = transformer.image_positions > 0
        # without a CLIP the last frame is one more that the mask marks as given
        conditioning = ("first", "last") if last or not transformer.image_dim else ("first",)
        needs = ("first", "last") if last else ("first",)
    else:
        conditioning, needs = (("first",) if own_times else ()), ()
    small = transformer.width < 2048
    guidance, low = 5.0, None
    if experts:
        guidance, low = (3.5, None) if transformer.condition_channels else (4.0, 3.0)
    info = ModelInfo(
        name=name,
        sizes=P704 if folded else P480 if small else P480 + P720,
        max_frames=121 if folded else 81,
        default_frames=121 if folded else 81,
        fps=24.0 if folded else 16.0,
        conditioning=conditioning,
        needs=needs,
        text_len=TEXT_LEN,
        default_steps=40 if experts else 50,
        default_guidance=guidance,
        low_noise_guidance=low,
    )
    if times:
        info = replace(info, default_steps=len(times), default_guidance=1.0, low_noise_guidance=None)
    if times and not folded:  # FastWan 2.1
        info = replace(info, sizes=((832, 448), (448, 832), *info.sizes), default_frames=61)
    return replace(info, **BY_REPO.get(repo or "", {}))


def published_constants(transformer: TransformerConfig, *, experts: bool) -> dict[str, Any]:
    """What the authors' code knows of its models and their files do not say: see original.Constants.

    Source: github.com/Wan-Video/Wan2.1 and Wan2.2, generate.py and wan/configs.
    """
    given = transformer.condition_channels > 0
    if experts:
        return {"shift": 5.0, "boundary": 0.9} if given else {"shift": 12.0, "boundary": 0.875}
    if transformer.image_positions:
        return {"shift": 16.0}
    return {"shift": 5.0, "own_times": transformer.channels == 48}
