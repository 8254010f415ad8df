"""Scaled fp8 as ComfyUI and Kijai publish it: weights in 8 bits, and the number, or one a row, that they are times.

First spelling: a tensor `scaled_fp8` marks the file, `X.scale_weight` belongs to `X.weight`. Second: `X.weight_scale`
and `X.comfy_quant`, a JSON text that names the format. The scales of activations (`scale_input`, `input_scale`) serve
products in fp8, and are not needed here, where weights are unpacked as they are loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from sorairo.checkpoints.headers import Entry, read_entry
from sorairo.config import parse_json
from sorairo.types import UserError

__all__ = ["with_scales"]

FP8 = (torch.float8_e4m3fn, torch.float8_e5m2)
SCALES = (".scale_weight", ".weight_scale")
UNUSED = (".scale_input", ".input_scale")
FORMATS = ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fn_scaled")
NOTE_LIMIT = 1 << 16  # bytes of a comfy_quant


def with_scales(entries: Mapping[str, Entry]) -> dict[str, Entry]:
    """Entries of a file: each scaled weight with its scale, and without the tensors that say so.

    Raises UserError for another kind of quantisation, by its name, and for an 8-bit weight of a scaled file whose scale
    is missing: read as it is, it would give white or black frames.
    """
    marked = [
        name for name in entries if name == "scaled_fp8" or name.endswith((".scaled_fp8", ".comfy_quant"))
    ]
    scales = {
        f"{name.removesuffix(end)}.weight": name for name in entries for end in SCALES if name.endswith(end)
    }
    if not marked and not scales:
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
    if (
        not scale.dtype.is_floating_point
        or scale.dtype == torch.float8_e8m0fnu
        or scale.numel not in (1, rows)
    ):
        shape = "x".join(map(str, scale.shape)) or "one"
        raise UserError(
            f"{entry.path} has scales for blocks of {name} ({named}: {shape} of"
            f" {str(scale.dtype).removeprefix('torch.')}): MX fp8, which is not read here; get the same weights in"
            " scaled fp8, bf16 or fp16."
        )
    return scale
