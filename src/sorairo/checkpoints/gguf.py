"""GGUF files: their tensors by name, packed as they are, without reading them.

Layout and names of forms are the `gguf` package's. Tensors that are packed keep their bytes in the file, which is
mapped; nn/unpack.py turns them into numbers where they are used.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import torch

from sorairo.types import UserError

__all__ = ["MAGIC", "gguf_pieces", "gguf_tensors", "t5_names"]

MAGIC = b"GGUF"
UNKNOWN = 2  # the type of the piece for what is not known, as SentencePiece and GGUF number it
PLAIN = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16, "F64": torch.float64}
# Names of llama.cpp's T5 -> transformers'. Source: gguf-py/gguf/tensor_mapping.py
T5 = [
    (r"token_embd\.", "shared."),
    (r"enc\.output_norm\.", "encoder.final_layer_norm."),
    (r"enc\.blk\.(\d+)\.attn_rel_b\.", r"encoder.block.\1.layer.0.SelfAttention.relative_attention_bias."),
    (r"enc\.blk\.(\d+)\.attn_norm\.", r"encoder.block.\1.layer.0.layer_norm."),
    (r"enc\.blk\.(\d+)\.attn_([qkvo])\.", r"encoder.block.\1.layer.0.SelfAttention.\2."),
    (r"enc\.blk\.(\d+)\.ffn_norm\.", r"encoder.block.\1.layer.1.layer_norm."),
    (r"enc\.blk\.(\d+)\.ffn_gate\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_0."),
    (r"enc\.blk\.(\d+)\.ffn_up\.", r"encoder.block.\1.layer.1.DenseReluDense.wi_1."),
    (r"enc\.blk\.(\d+)\.ffn_down\.", r"encoder.block.\1.layer.1.DenseReluDense.wo."),
]


def gguf_tensors(path: Path, forms: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """{name: dtype, shape, start, stop, form} of a file. form: how it is packed, one of `forms`; None where it is not.

    Raises UserError where the file is damaged, and for a form that is not read here, which it names.
    """
    reader = _reader(path)
    found, size = {}, path.stat().st_size
    sides = {str(tensor.name): int(tensor.n_elements) for tensor in reader.tensors}
    for tensor in reader.tensors:
        kind, name = tensor.tensor_type.name, str(tensor.name)
        if kind not in PLAIN and kind not in forms:
            raise UserError(
                f"{path}: {name} is packed as {kind}, which is not read here; take a file of {', '.join(forms)}."
            )
        shape = tuple(int(side) for side in reversed(tensor.shape.tolist()))
        # more than four sides do not fit: those of city96's files are kept beside
        whole = reader.get_field(f"comfy.gguf.orig_shape.{name}")
        if whole is not None:
            shape = tuple(int(side) for side in whole.contents())
        if name.endswith("patch_embedding.weight") and len(shape) < 5:
            shape = _of_patches(shape, sides.get(name.removesuffix("weight") + "bias"))
        start = int(tensor.data_offset)
        stop = start + int(tensor.n_bytes)
        if stop > size:
            raise UserError(f"{path} is damaged or cut short; pull or copy it again.")
        form = None if kind in PLAIN else kind
        dtype = PLAIN.get(kind, torch.uint8)
        found[name] = {"dtype": dtype, "shape": shape, "start": start, "stop": stop, "form": form}
    return found


def _of_patches(shape: tuple[int, ...], width: int | None) -> tuple[int, ...]:
    """The shape of Wan's patch embedding, a convolution with five sides, of a file that says four or fewer: some
    converters join the first two, others the last four. The numbers lie in the same order."""
    count = prod(shape)
    if not width or count % (4 * width):
        return shape
    return width, count // (4 * width), 1, 2, 2


def gguf_pieces(path: Path) -> bytes | None:
    """The spiece.model of a T5 encoder's file, put together from the pieces that llama.cpp's converter writes into
    it; None where there are none. Raises UserError where protobuf, which writes it, is not installed."""
    fields = _reader(path).fields
    names = [f"tokenizer.ggml.{name}" for name in ("model", "tokens", "scores", "token_type")]
    if any(name not in fields for name in names):
        return None
    kind, *lists = (fields[name].contents() for name in names)
    if kind != "t5" or len({len(one) for one in lists}) != 1:
        raise UserError(f"{path}: its tokenizer is no T5's, whose pieces have a score and a type each.")
    try:
        from transformers.convert_slow_tokenizer import import_protobuf

        written: Any = import_protobuf()  # protobuf makes its classes as it is imported
        proto = written.ModelProto()
    except ImportError as error:
        raise UserError(
            f"The tokenizer in {path} needs protobuf; get it with: pip install 'sorairo[wan]' protobuf"
        ) from error
    proto.trainer_spec.model_type = 1  # unigram
    charsmap = fields.get("tokenizer.ggml.precompiled_charsmap")
    if charsmap is not None:
        proto.normalizer_spec.precompiled_charsmap = bytes(charsmap.contents())
    for index, (piece, score, role) in enumerate(zip(*lists, strict=True)):
        proto.pieces.add(piece=piece, score=score, type=role)
        if role == UNKNOWN:
            proto.trainer_spec.unk_id = index
    return proto.SerializeToString()


def _reader(path: Path) -> Any:
    """gguf's GGUFReader. Raises UserError."""
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UserError(f"{path} needs the gguf package; get it with: pip install 'sorairo[gguf]'") from error
    try:
        return GGUFReader(path)
    except Exception as error:  # numpy's and its own: ValueError, IndexError, KeyError, UnicodeDecodeError
        raise UserError(f"{path} is damaged or cut short; pull or copy it again.") from error


def t5_names(name: str) -> str:
    """transformers' name of a tensor of a T5 encoder that llama.cpp's converter wrote; others pass through."""
    for theirs, ours in T5:
        if re.match(theirs, name):
            return re.sub(f"^{theirs}", ours, name)
    return name
