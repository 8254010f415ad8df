"""Models that are built on Wan's blocks and need more than they hold: told by their tensors, refused by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable

from sorairo.types import UserError

__all__ = ["check_relatives"]

# (what the name of a tensor holds, whose it is), the more special ones first
RELATIVES = [
    (r"(^|\.)(face_adapter|motion_encoder|face_encoder|pose_patch_embedding)\.", "Wan 2.2 Animate"),
    (
        r"(^|\.)(casual_audio_encoder|cond_encoder|frame_packer|audio_injector|trainable_cond_mask)\b",
        "Wan 2.2 S2V",
    ),
    (r"(^|\.)audio_proj\.audio_proj_glob", "HuMo"),
    (r"(^|\.)audio_(proj|cross_attn)\b", "MultiTalk or InfiniteTalk"),
    (r"(^|\.)control_adapter\.", "Wan Fun Camera"),
    (r"(^|\.)ref_conv\.", "Wan Fun Control"),
    (r"\.cam_encoder\.|(^|\.)projector\.", "ReCamMaster"),
    (r"\.cross_attn\.processor\.|(^|\.)proj_model\.", "FantasyTalking"),
    (r"(^|\.)patch_(short|mid|long)\.", "Helios; take its folder, such as BestWishYsh/Helios-Base"),
    (r"to_gate_compress", "FastWan with sparse attention (VSA); take one with full attention"),
    (r"(^|\.)pre_crs_attn_norm\.", "LongCat-Video; take its folder, meituan-longcat/LongCat-Video"),
    (r"(^|\.)(adaLN_modulation|x_embedder)\b", "another family (a DiT)"),
    (r"^double_blocks\.|\.double_blocks\.", "HunyuanVideo or Flux"),
    (r"(^|\.)transformer_blocks\.0\.", "LTX-Video, CogVideoX or another family"),
]
PATTERNS = [(re.compile(pattern), name) for pattern, name in RELATIVES]


def check_relatives(names: Iterable[str], where: str) -> None:
    """Raise UserError, by the model's name, where tensors are those of a relative of Wan that is not supported."""
    names = list(names)
    for pattern, model in PATTERNS:
        if found := next((name for name in names if pattern.search(name)), None):
            raise UserError(
                f"{where} is of {model}, which is not supported (it has {found}); Wan 2.1 and 2.2 models for words and"
                " for first and last frames are."
            )
