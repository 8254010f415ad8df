"""What a single file of weights is: its role and its names, by keys and shapes and never by the file's name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sorairo.checkpoints.headers import PICKLES, Entry, read_header
from sorairo.checkpoints.relatives import check_relatives
from sorairo.checkpoints.scaled import with_scales
from sorairo.types import UserError

__all__ = ["FilePart", "Role", "parts_of"]

Role = Literal["transformer", "codec", "text", "vision"]
Names = Literal["authors", "diffusers", "transformers"]

# (role, whose names, tensors that are all there): the first gives the prefix of all
SIGNS: list[tuple[Role, Names, tuple[str, ...]]] = [
    ("transformer", "authors", ("blocks.0.self_attn.q.weight", "head.modulation", "patch_embedding.weight")),
    (
        "transformer",
        "diffusers",
        ("blocks.0.attn1.to_q.weight", "scale_shift_table", "patch_embedding.weight"),
    ),
    ("codec", "authors", ("encoder.conv1.weight", "decoder.conv1.weight", "conv2.weight")),
    ("codec", "diffusers", ("encoder.conv_in.weight", "decoder.conv_in.weight", "post_quant_conv.weight")),
    ("text", "authors", ("blocks.0.attn.q.weight", "token_embedding.weight", "blocks.0.ffn.gate.0.weight")),
    (
        "text",
        "transformers",
        (
            "encoder.block.0.layer.0.SelfAttention.q.weight",
            "shared.weight",
            "encoder.final_layer_norm.weight",
        ),
    ),
    ("vision", "authors", ("cls_embedding", "transformer.0.attn.to_qkv.weight", "patch_embedding.weight")),
    (
        "vision",
        "transformers",
        ("vision_model.embeddings.class_embedding", "vision_model.encoder.layers.0.mlp.fc1.weight"),
    ),
]
UMT5_ALONE = "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"
SECOND_LAYER = "encoder.block.1.layer.0.SelfAttention.q.weight"


@dataclass(frozen=True, kw_only=True, eq=False)
class FilePart:
    """One part of a model in a file. entries: its tensors without their common prefix, scales with their weights.
    pieces: the tensor that is its tokenizer, where there is one."""

    path: Path
    role: Role
    names: Names
    entries: Mapping[str, Entry]
    pieces: Entry | None = None

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {name: entry.shape for name, entry in self.entries.items()}

    @property
    def precision(self) -> float:
        """Higher for what keeps more of the numbers, by the bits of one; scaled fp8 before plain, and before Q8_0."""
        largest = max(self.entries.values(), key=lambda entry: entry.numel)
        return 8 * (largest.stop - largest.start) / largest.numel + (largest.scale is not None)


def parts_of(path: Path) -> list[FilePart]:
    """The parts in a file; several in one that holds a whole model. Raises UserError for a file of nothing that is
    known, a relative of Wan's that is not supported, a pickle, and another quantisation."""
    if path.suffix in PICKLES:
        raise UserError(f"{path} is a pickle, which can run code when it is opened; get it as .safetensors.")
    entries = with_scales(read_header(path))
    parts = [part for sign in SIGNS if (part := _part(path, entries, *sign))]
    if not parts:
        if any("vace_patch_embedding" in name for name in entries):
            raise UserError(
                f"{path} is VACE's branch alone, which other programs put into a Wan; take a whole VACE model, such as"
                " wan2.1-vace-1.3b."
            )
        check_relatives(entries, str(path))
        raise UserError(
            f"{path} is no file of a Wan model: it has neither its transformer's, its codec's, umT5's nor the CLIP's"
            " tensors."
        )
    for part in parts:
        if part.role == "transformer":
            check_relatives(part.entries, str(path))
        if part.names == "transformers" and part.role == "text":
            _check_umt5(part)
    return parts


def _part(
    path: Path, entries: Mapping[str, Entry], role: Role, names: Names, sign: tuple[str, ...]
) -> FilePart | None:
    """The part that a sign stands for, whatever prefix its names have."""
    first = sign[0]
    prefixes = sorted(
        (name.removesuffix(first) for name in entries if name == first or name.endswith(f".{first}")), key=len
    )
    for prefix in prefixes:
        if all(f"{prefix}{key}" in entries for key in sign):
            own = {
                name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)
            }
            if not prefix and role in ("codec", "vision"):  # no names but those of a whole file
                own = {name: entry for name, entry in own.items() if name != "log_scale"}
            own = {name: entry for name, entry in own.items() if not name.endswith("spiece_model")}
            pieces = None
            if role == "text":
                pieces = next(
                    (entry for name, entry in entries.items() if name.endswith("spiece_model")), None
                )
            return FilePart(path=path, role=role, names=names, entries=own, pieces=pieces)
    return None


def _check_umt5(part: FilePart) -> None:
    """Refuse T5, whose layers share the first one's bias."""
    if SECOND_LAYER in part.entries and UMT5_ALONE not in part.entries:
        raise UserError(
            f"{part.path} is a T5, such as Flux and Stable Diffusion 3 read words with; Wan needs umT5-xxl"
            " (umt5_xxl_fp16.safetensors or umt5_xxl_fp8_e4m3fn_scaled.safetensors)."
        )
