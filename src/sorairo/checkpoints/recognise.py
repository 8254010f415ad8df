"""What a single file of weights is: its role and its names, by keys and shapes and never by the file's name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sorairo.checkpoints.headers import PICKLES, Entry, read_header
from sorairo.checkpoints.relatives import check_relatives
from sorairo.checkpoints.scaled import check_quantisation, with_scales
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


# Beside the weights in what trainers write; of these, names without a prefix
TRAINING = re.compile(
    r"(optimizers?|lr_schedulers?|scaler|global_step|epoch|iteration|steps?|rng_state|args)(\.|$)"
)
UNUSED = re.compile(r"(^|\.)(freqs|inv_freq|logit_scale)$|spiece_model$")
"""Positions' angles, which every program computes itself, a tokenizer, and a number that only comparing with pictures
would use."""
AVERAGE = re.compile(r"(^|[._])ema([._]|$)", re.IGNORECASE)
"""Of a prefix: the mean of the weights over training, which its authors' programs take."""
LORA = re.compile(r"\.(lora_[AB]|lora_(up|down)|lora\.(up|down)|lokr_w\d|hada_w\d)\b|\.(lokr|hada)_w")
DECODER = re.compile(r"(decoder|lm_head)\.")
"""The half of umT5 that writes, which is not used."""
CRITIC = re.compile(r"(critic|discriminator|teacher|(fake|real)_score)", re.IGNORECASE)
"""Of a prefix: another network that a distillation trained beside the model."""
SHARD = re.compile(r"[-_.]\d+[-_]of[-_](\d+)$")


@dataclass(frozen=True, kw_only=True, eq=False)
class FilePart:
    """One part of a model in a file. entries: its tensors without their common prefix, scales with their weights.
    pieces: the tensor that is its tokenizer, where there is one. note: a sentence on which copy of it was taken."""

    path: Path
    role: Role
    names: Names
    entries: Mapping[str, Entry]
    pieces: Entry | None = None
    note: str = ""

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
    if path.suffix.lower() in PICKLES:
        raise UserError(f"{path} is a pickle, which can run code when it is opened; get it as .safetensors.")
    if (shard := SHARD.search(path.stem)) and int(shard[1]) > 1:
        raise UserError(
            f"{path} is one of {int(shard[1])} files that are a model together; give the folder that holds them and"
            " their config.json, or the model in one file."
        )
    entries = _shared(read_header(path))
    check_quantisation(entries)
    found = [(sign, prefixes) for sign in SIGNS if (prefixes := _prefixes(entries, sign))]
    known = {prefix for _, prefixes in found for prefix in prefixes if prefix}
    parts = [_part(path, entries, *sign[:2], prefixes, known) for sign, prefixes in found]
    if not parts:
        if any(LORA.search(name) for name in entries):
            raise UserError(f"{path} is a LoRA, which changes a model; give it with --lora.")
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


def _shared(entries: dict[str, Entry]) -> dict[str, Entry]:
    """With T5's table under its first name, where a file has it under its second alone."""
    first, second = "shared.weight", "encoder.embed_tokens.weight"
    if any(name.endswith(first) for name in entries):
        return entries
    return {
        name.removesuffix(second) + first if name.endswith(second) else name: entry
        for name, entry in entries.items()
    }


def _prefixes(entries: Mapping[str, Entry], sign: tuple[Role, Names, tuple[str, ...]]) -> list[str]:
    """What is before the names of each copy of a part: the mean over training first, a critic last, then the
    shortest."""
    first, *_ = keys = sign[2]
    ends = [name.removesuffix(first) for name in entries if name == first or name.endswith(f".{first}")]
    whole = [prefix for prefix in ends if all(f"{prefix}{key}" in entries for key in keys)]
    return sorted(
        whole, key=lambda name: (CRITIC.match(name) is not None, not AVERAGE.search(name), len(name))
    )


def _part(
    path: Path,
    entries: Mapping[str, Entry],
    role: Role,
    names: Names,
    prefixes: list[str],
    known: set[str],
) -> FilePart:
    """The part behind the first of its prefixes. known: those of all parts of the file."""
    prefix = prefixes[0]
    own = {name.removeprefix(prefix): entry for name, entry in entries.items() if name.startswith(prefix)}
    own = {name: entry for name, entry in own.items() if not UNUSED.search(name)}
    if not prefix:  # all that a file holds may be beside it
        others = tuple(known)
        own = {
            name: entry
            for name, entry in own.items()
            if not (name.startswith(others) or TRAINING.match(name))
            and not (role in ("codec", "vision") and name == "log_scale")
        }
    pieces, note = None, ""
    if role == "text":
        own = {name: entry for name, entry in own.items() if not DECODER.match(name)}
        pieces = next((entry for name, entry in entries.items() if name.endswith("spiece_model")), None)
    if len(prefixes) > 1:
        rest = ", ".join(other or "without a prefix" for other in prefixes[1:])
        note = f"{path.name} holds a {role} several times; {prefix or 'the one without a prefix'} is taken, not {rest}."
    return FilePart(path=path, role=role, names=names, entries=with_scales(own), pieces=pieces, note=note)


def _check_umt5(part: FilePart) -> None:
    """Refuse T5, whose layers share the first one's bias."""
    if SECOND_LAYER in part.entries and UMT5_ALONE not in part.entries:
        raise UserError(
            f"{part.path} is a T5, such as Flux and Stable Diffusion 3 read words with; Wan needs umT5-xxl"
            " (umt5_xxl_fp16.safetensors or umt5_xxl_fp8_e4m3fn_scaled.safetensors)."
        )
