"""ModelInfo of a published Wan, whose folder has no sorairo.json: from its configuration, and by its name where that
does not say enough."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from sorairo.checkpoints.families import family_named
from sorairo.checkpoints.info import ModelInfo
from sorairo.codec.model import CodecConfig
from sorairo.transformer.model import TransformerConfig

__all__ = ["TEXT_LEN", "published_constants", "published_info"]

TEXT_LEN = 512
P480 = ((832, 480), (480, 832), (624, 624), (704, 544), (544, 704))
P540 = ((960, 544), (544, 960))
P720 = ((1280, 720), (720, 1280), (960, 960), (1088, 832), (832, 1088))
P704 = ((1280, 704), (704, 1280), (960, 960), (832, 480), (480, 832))  # sides are multiples of 32

# What the files of two models, equal in shape, do not tell apart
BY_REPO: dict[str, dict[str, Any]] = {
    "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers": {"sizes": P480},
    "Wan-AI/Wan2.1-I2V-14B-720P-Diffusers": {"sizes": P720 + P480},
    "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers": {"sizes": P720 + P480, "default_guidance": 5.5},
}

WARPED = (1000.0, 937.5, 833.3333, 625.0)
"""1000, 750, 500 and 250 moved by shift 5."""
# Models of few steps whose tensors are those of Wan for words: what their authors' code knows, by a file's, a folder's
# or a repository's name. Sources: the configurations and inference scripts of guandeh17/Self-Forcing
# (self_forcing_dmd.yaml), NVlabs/LongLive (local_attn_size 12, 3 of them the chunk at hand), tianweiy/CausVid
# (wan_causal_dmd.yaml) and NVlabs/rcm (wan2pt1_t2v_rcm_infer.py: angles atan 80, 1.3, 1 and 0.6).
BY_NAME: list[tuple[str, dict[str, Any]]] = [
    (r"self[-_. ]?forcing", {"times": WARPED, "chunk": 3}),
    (r"longlive", {"times": WARPED, "chunk": 3, "reach": 9, "sink": 3}),
    (r"causvid", {"times": (1000.0, 757.0, 522.0), "chunk": 3}),
    (r"(?<![a-z])rcm(?![a-z])", {"times": (987.654, 782.695, 608.980, 406.227)}),
]
SKYREELS = re.compile(r"skyreels[-_. ]?v2")
NOT_THESE = re.compile(r"lora|bidirect|lightx2v|vace")
"""Other models with such names: those of lightx2v see the whole clip at once."""


def published_info(
    name: str,
    repo: str | None,
    transformer: TransformerConfig,
    codec: CodecConfig,
    *,
    experts: bool,
    own_times: bool,
    times: tuple[float, ...] = (),
    family: str = "",
) -> ModelInfo:
    """Sizes, length, rate and settings as the authors use them. repo: where the folder was pulled from, if it was.
    family: the pipeline's class, if the folder names one."""
    folded = codec.patch_size > 1  # Wan 2.2's own codec
    if transformer.control_layers:
        conditioning, needs = ("control",), ()
    elif transformer.condition_channels:
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
    told = f"{repo or ''} {name}".lower()
    if facts := family_named(family).pipelines.get(family):
        return replace(info, **facts)
    if family.startswith("SkyReelsV2") or transformer.rates or SKYREELS.search(told):
        return skyreels_info(info, told, forcing=own_times or bool(transformer.rates))
    plain = not (transformer.condition_channels or transformer.control_layers or experts)
    if family == "WanCausalDMDPipeline":
        told = "self-forcing"  # FastVideo's name of such folders
    if plain and not NOT_THESE.search(told):
        facts = next((facts for pattern, facts in BY_NAME if re.search(pattern, told)), None)
        if facts:
            steps = len(facts["times"])
            info = replace(info, **facts, default_steps=steps, default_guidance=1.0)
    return replace(info, **BY_REPO.get(repo or "", {}))


def skyreels_info(info: ModelInfo, told: str, *, forcing: bool) -> ModelInfo:
    """A Wan's info as that of a SkyReels-V2. told: its names. Source: github.com/SkyworkAI/SkyReels-V2, README."""
    large = "720p" in told
    return replace(
        info,
        sizes=P720[:2] if large else P540,
        max_frames=121 if large else 97,
        default_frames=121 if large else 97,
        fps=24.0,
        default_steps=30,
        default_guidance=5.0 if info.needs else 6.0,
        conditioning=("levels",) if forcing else info.conditioning,
    )


def published_constants(transformer: TransformerConfig, *, experts: bool, name: str = "") -> dict[str, Any]:
    """What the authors' code knows of its models and their files do not say: see original.Constants.

    name: of the file or folder, which alone says that a model is a SkyReels-V2. Sources: github.com/Wan-Video/Wan2.1
    and Wan2.2, generate.py and wan/configs; github.com/SkyworkAI/SkyReels-V2, README.
    """
    if transformer.rates or SKYREELS.search(name.lower()):
        forcing = bool(transformer.rates) or re.search(r"v2[-_. ]df", name.lower()) is not None
        return {"shift": 5.0 if transformer.condition_channels else 8.0, "own_times": forcing}
    given = transformer.condition_channels > 0
    if experts:
        return {"shift": 5.0, "boundary": 0.9} if given else {"shift": 12.0, "boundary": 0.875}
    if transformer.image_positions:
        return {"shift": 16.0}
    return {"shift": 5.0, "own_times": transformer.channels == 48}
