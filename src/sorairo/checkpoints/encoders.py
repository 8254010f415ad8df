"""The encoders in a checkpoint folder: words (BERT or umT5) and given pictures (a CLIP's vision tower).

umT5 and the CLIP are computed by transformers, which is imported when the first prompt or picture comes. Their weights
come through `load_weights`, so there is never a copy in another precision.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from sorairo.checkpoints.adapters import clip_original
from sorairo.checkpoints.headers import Entry, read_header, weight_entries
from sorairo.checkpoints.index import read_json
from sorairo.checkpoints.memory.streaming import load_streamed
from sorairo.checkpoints.memory.working import entries_part
from sorairo.checkpoints.recognise import FilePart
from sorairo.checkpoints.scaled import with_scales
from sorairo.checkpoints.schemas import ClipFile, UMT5File
from sorairo.checkpoints.tensors import Adapt, load_weights
from sorairo.config import check
from sorairo.nn.quantised import to_int8
from sorairo.text.encoder import TextEncoder, read_tokenizer
from sorairo.text.umt5 import UMT5Encoder
from sorairo.transformer.vision import Framing, Vision, framing_of
from sorairo.types import UserError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["from_umt5", "load_file_vision", "load_original_vision", "load_text", "load_umt5", "load_vision"]

# The words' table has two names in transformers' files; inside the stack it has a third.
UMT5_STACK = {"shared.weight": "embed_tokens.weight", "encoder.embed_tokens.weight": "embed_tokens.weight"}


def load_text(
    folder: Path, text_len: int, dtype: torch.dtype, device: torch.device, stream: bool = False
) -> TextEncoder | UMT5Encoder:
    """The text encoder of a checkpoint folder. dtype: umT5's; a BERT computes in float32, and is never streamed.

    Raises UserError for another kind, and at once for what is wrong with the files; umT5's weights themselves
    are loaded at the first prompt.
    """
    where = folder / "text_encoder" / "config.json"
    values = read_json(where)
    kind = values.get("model_type")
    if kind == "bert":
        return TextEncoder.load(folder, text_len)
    if kind != "umt5":
        raise UserError(f"{where}: model_type is {kind!r}; only 'bert' and 'umt5' are supported.")
    check(UMT5File, values, where=str(where))
    entries = with_scales(weight_entries(where.parent))
    return load_umt5(values, entries, from_umt5, folder / "tokenizer", text_len, dtype, device, stream)


def load_umt5(
    values: Mapping[str, Any],
    entries: Mapping[str, Entry],
    adapt: Adapt,
    tokenizer: Path | bytes,
    text_len: int,
    dtype: torch.dtype,
    device: torch.device,
    stream: bool = False,
    *,
    where: Path | None = None,
) -> UMT5Encoder:
    """umT5 of a config.json's values. adapt: the entries' names -> those of transformers' UMT5Stack. tokenizer: its
    folder, or the bytes of a spiece.model. dtype: int8 multiplies in 8 bits, but for the last product of each block,
    whose inputs have outliers, and computes the rest in bf16. stream: leave its blocks in their files. where: what
    errors call the entries."""
    int8, dtype = dtype == torch.int8, torch.bfloat16 if dtype == torch.int8 else dtype

    def load() -> nn.Module:
        transformers = _transformers("umT5, this model's text encoder,")
        with torch.device("meta"):
            stack = transformers.UMT5EncoderModel(transformers.UMT5Config.from_dict(dict(values))).encoder
        if int8:
            to_int8(stack, "block", but=("wo",))
        if stream:
            return load_streamed(stack, entries, adapt, dtype, device, under="block", where=where)
        load_weights(stack, entries, adapt, dtype, where=where)
        return stack.to(device).eval().requires_grad_(False)

    words = _pieces(tokenizer) if isinstance(tokenizer, bytes) else _tokenizer(tokenizer)
    nbytes = entries_part("text_encoder", entries).bytes_in(dtype)
    return UMT5Encoder(load, words, int(values["d_model"]), text_len, nbytes)


def _tokenizer(folder: Path) -> Tokenizer:
    """Of tokenizer.json, or where that is missing of SentencePiece's spiece.model. Raises UserError."""
    pieces = folder / "spiece.model"
    if (folder / "tokenizer.json").is_file() or not pieces.is_file():
        return read_tokenizer(folder / "tokenizer.json")
    what = f"{pieces}, which comes without a tokenizer.json,"
    _transformers(what)
    try:
        import google.protobuf  # noqa: F401
        from transformers.convert_slow_tokenizer import T5Converter
    except ImportError as error:
        raise UserError(f"{what} needs protobuf; get it with: pip install protobuf") from error
    parts = SimpleNamespace(vocab_file=str(pieces), _extra_ids=0, convert_tokens_to_ids=_end_mark)
    try:
        with warnings.catch_warnings():  # of bytes for unknown letters, which this conversion does without
            warnings.simplefilter("ignore")
            return T5Converter(parts).converted()
    except Exception as error:  # protobuf's and tokenizers' own
        raise UserError(f"{pieces} is not a tokenizer; copy it again.") from error


def _pieces(data: bytes) -> Tokenizer:
    """Of the bytes of a spiece.model."""
    with TemporaryDirectory() as folder:
        (Path(folder) / "spiece.model").write_bytes(data)
        return _tokenizer(Path(folder))


def _end_mark(token: str) -> int:
    """T5's vocabularies begin with padding, the end mark, and what is not known."""
    assert token == "</s>"
    return 1


def from_umt5(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of a UMT5EncoderModel under the names that they have inside its stack."""
    return {UMT5_STACK.get(name, name.removeprefix("encoder.")): tensor for name, tensor in tensors.items()}


def load_vision(folder: Path, dtype: torch.dtype, device: torch.device) -> Vision:
    """The CLIP's vision tower in image_encoder/, its pictures made ready as image_processor/ says."""
    where = folder / "image_processor" / "preprocessor_config.json"
    framing = framing_of(read_json(where), str(where))
    config = folder / "image_encoder" / "config.json"
    values = read_json(config)
    check(ClipFile, values, where=str(config))
    entries = with_scales(weight_entries(folder / "image_encoder"))
    return _vision(values, entries, dict, framing, dtype, device)


def load_original_vision(path: Path, dtype: torch.dtype, device: torch.device) -> Vision:
    """The same of a file as Wan's authors name its tensors. Pictures are made ready as diffusers does it."""
    found = with_scales(read_header(path))
    entries = {name: entry for name, entry in found.items() if not clip_original.unused(name)}
    shapes = {name: entry.shape for name, entry in entries.items()}
    values = clip_original.from_original_config(shapes, str(path))
    side = values["image_size"]
    framing = Framing(side=side, crop=side)
    return _vision(values, entries, clip_original.from_original, framing, dtype, device)


def load_file_vision(part: FilePart, dtype: torch.dtype, device: torch.device) -> Vision:
    """The same of a single file, by the authors' names or transformers'."""
    if part.names == "authors":
        named = {f"visual.{name}": entry for name, entry in part.entries.items()}
        entries = {name: entry for name, entry in named.items() if not clip_original.unused(name)}
        shapes = {name: entry.shape for name, entry in entries.items()}
        values = clip_original.from_original_config(shapes, str(part.path))
        rename: Adapt = clip_original.from_original
    else:
        entries, rename = dict(part.entries), dict
        values = clip_original.from_transformers_config(part.shapes, str(part.path))
    side = values["image_size"]
    return _vision(values, entries, rename, Framing(side=side, crop=side), dtype, device)


def _vision(
    values: Mapping[str, Any],
    entries: Mapping[str, Entry],
    rename: Adapt,
    framing: Framing,
    dtype: torch.dtype,
    device: torch.device,
) -> Vision:
    """A CLIP's vision tower of a config.json's values. rename: the entries' names -> transformers'."""

    def load() -> nn.Module:
        transformers = _transformers("The CLIP that this model sees pictures with")
        with torch.device("meta"):
            tower = transformers.CLIPVisionModel(transformers.CLIPVisionConfig.from_dict(dict(values)))
        # its releases differ in whether the names begin with vision_model
        ours = {name.removeprefix("vision_model."): name for name in tower.state_dict()}

        def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
            named = rename(tensors)
            plain = {name.removeprefix("vision_model."): tensor for name, tensor in named.items()}
            return {ours.get(name, name): tensor for name, tensor in plain.items()}

        load_weights(tower, entries, adapt, dtype, ignore=_beside_the_tower)
        for module in tower.modules():  # a buffer that no file holds
            if "position_ids" in module._buffers:
                module._buffers["position_ids"] = torch.arange(module.num_positions)[None]
        return tower.to(device).eval().requires_grad_(False)

    return Vision(load, framing)


def _beside_the_tower(name: str) -> bool:
    return name == "visual_projection.weight" or name.endswith("position_ids")


def _transformers(what: str) -> Any:
    try:
        import transformers
    except ImportError as error:
        raise UserError(f"{what} needs transformers; get it with: pip install 'sorairo[wan]'") from error
    return transformers
