"""Scaled fp8 as ComfyUI and Kijai publish it: weights in 8 bits, and the number, or one a row, that they are times.

First spelling: a tensor `scaled_fp8` marks the file, `X.scale_weight` belongs to `X.weight`. Second: `X.weight_scale`,
and either `X.comfy_quant`, a JSON text that names the format, or a table of formats in the metadata. The scales of
activations (`scale_input`, `input_scale`) serve products in fp8, and are not needed here, where weights are unpacked as
they are loaded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from sorairo.checkpoints.headers import Entry, is_gguf, read_entry, safetensors_header
from sorairo.config import parse_json
from sorairo.types import UserError

__all__ = ["check_quantisation", "with_scales"]

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
SCALES = (".scale_weight", ".weight_scale")
UNUSED = (".scale_input", ".input_scale")
FORMATS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fn_scaled")
# What the name of a tensor ends in -> whose quantisation it is of
OTHERS = [
    (
        re.compile(r"\.(absmax|quant_map|nested_absmax|nested_quant_map|quant_state\..+|SCB)$"),
        "by bitsandbytes",
    ),
    (re.compile(r"\.weight_scale_2$"), "as nvfp4"),
    (re.compile(r"\.weight_scale_inv$"), "in fp8 with scales for blocks"),
    (re.compile(r"\.(qweight|qzeros|wscales|g_idx|wzeros)$"), "for GPTQ, AWQ or Nunchaku"),
    (re.compile(r"\.(_data|_scale|zero_point|weight_zero_point)$"), "by Quanto or torchao"),
    (re.compile(r"\.(scale|weight\.scale)$"), "with scales in a spelling of its own"),
]
NOTE_LIMIT = 1 << 16  # bytes of a comfy_quant
TABLE = "_quantization_metadata"
"""In a file's metadata: {"layers": {name: {"format": ...}}}, as ComfyUI writes it."""


def with_scales(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Entries of one part: each scaled weight with its scale, and without the tensors that say so.

    Raises UserError for another kind of quantisation, by its name, and for an 8-bit weight of a scaled file whose scale
    is missing: read as it is, it would give white or black frames.
    """
    marked = [
        name for name in entries if name == "scaled_fp8" or name.endswith((".scaled_fp8", ".comfy_quant"))
    ]
    scales = {
        f"{name.removesuffix(end)}.weight": name for name in entries for end in SCALES if name.endswith(end)
    }
    check_quantisation(entries)
    if not marked and not scales and not _called_scaled(entries):
        return dict(entries)
    for name in marked:
        if name.endswith(".comfy_quant"):
            _check_format(name, entries[name])
    aside = {*marked, *scales.values(), *(name for name in entries if name.endswith(UNUSED))}
    kept = {name: entry for name, entry in entries.items() if name not in aside}
    for name, scale in scales.items():
        if name not in kept:
            raise UserError(
                f"{entries[scale].path}: {scale} scales {name}, which is missing; copy the file again."
            )
        kept[name] = replace(kept[name], scale=_sound(name, kept[name], scale, entries[scale]))
    for name, entry in kept.items():
        if entry.dtype in FP8 and entry.scale is None and len(entry.shape) > 1:
            raise UserError(
                f"{entry.path} is in scaled fp8, and the scale of {name} is missing; copy the file again."
            )
    return kept


def _called_scaled(entries: Mapping[str, Entry]) -> bool:
    """Whether the metadata of a file with weights in fp8 says that they have scales."""
    for path in {entry.path for entry in entries.values() if entry.dtype in FP8}:
        if is_gguf(path):
            continue
        text = safetensors_header(path)[1].get(TABLE)
        if text is not None and parse_json(text.encode(), where=f"{path}: {TABLE}").get("layers"):
            return True
    return False


def check_quantisation(entries: Mapping[str, Entry]) -> None:
    """Refuse weights that lie in pieces of other quantisations, by what they are called."""
    for name, entry in entries.items():
        for pattern, kind in OTHERS:
            if pattern.search(name):
                raise UserError(
                    f"{entry.path} is quantised {kind} (it has {name}), which is not read here; get the same weights in"
                    " scaled fp8, GGUF, bf16 or fp16."
                )


def _check_format(name: str, entry: Entry) -> None:
    """Refuse the formats that are not read, by their names."""
    if entry.dtype != torch.uint8 or entry.numel > NOTE_LIMIT:
        raise UserError(f"{entry.path}: {name} is no text that names a format; copy the file again.")
    text = bytes(read_entry(entry).flatten().tolist())
    kind = parse_json(text, where=f"{entry.path}: {name}").get("format")
    if kind not in FORMATS:
        raise UserError(
            f"{entry.path} is quantised as {kind!r:.40} (comfy_quant), which is not read here; get the same weights in"
            " scaled fp8, bf16 or fp16."
        )


def _sound(name: str, entry: Entry, named: str, scale: Entry) -> Entry:
    """A scale that fits its weight: one number, or one for each row."""
    rows = entry.shape[0] if entry.shape else 0
    if entry.dtype not in FP8:
        kind = str(entry.dtype).removeprefix("torch.")
        raise UserError(
            f"{entry.path}: {name} is {kind} with a scale beside it ({named}), a quantisation that is not read here;"
            " get the same weights in scaled fp8, bf16 or fp16."
        )
    mx = scale.dtype == torch.float8_e8m0fnu
    fits = scale.numel == 1 or (scale.numel == rows and scale.shape[0] == rows)
    if not scale.dtype.is_floating_point or mx or not fits:
        shape = "x".join(map(str, scale.shape)) or "one"
        raise UserError(
            f"{entry.path} has scales for blocks or columns of {name} ({named}: {shape} of"
            f" {str(scale.dtype).removeprefix('torch.')}){': MX fp8' if mx else ''}, which is not read here; get the"
            " same weights with one scale for each, or in bf16 or fp16."
        )
    return scale
