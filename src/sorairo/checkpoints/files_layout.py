"""A Layout of single files, as ComfyUI, Kijai and LightX2V publish them: each recognised by its keys and shapes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sorairo.checkpoints.adapters import (
    umt5_original,
    wan,
    wan_codec,
    wan_codec_original,
    wan_original,
)
from sorairo.checkpoints.beside import WORDS, Beside, files_of, find_part
from sorairo.checkpoints.encoders import from_umt5, load_file_vision, load_umt5
from sorairo.checkpoints.gguf import gguf_pieces
from sorairo.checkpoints.headers import is_gguf, read_entry
from sorairo.checkpoints.index import read_json
from sorairo.checkpoints.layouts import Layout, Make, Source, codec_names
from sorairo.checkpoints.published import TEXT_LEN, published_constants, published_info
from sorairo.checkpoints.recognise import FilePart, Role, parts_of
from sorairo.checkpoints.schemas import VaeFile, check_codec_volume, check_transformer_volume
from sorairo.codec.model import CodecConfig
from sorairo.config import check
from sorairo.transformer.model import TransformerConfig
from sorairo.types import UserError

__all__ = ["codec_of", "fewer_layers", "files_layout", "text_of", "with_beside"]

HEAD = 128
"""Width of an attention head in every published Wan; tensors do not say it."""
LAYERS = {1536: 30, 3072: 30, 5120: 40}
"""Width of a published Wan -> its layers. A file says how many it has only by having them."""
# What is missing -> where it is found
FOUND: dict[Role, str] = {
    "codec": "wan_2.1_vae.safetensors, or wan2.2_vae.safetensors for the 5B model",
    "text": "umt5_xxl_fp16.safetensors or umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    "vision": "clip_vision_h.safetensors",
}


def files_layout(model: str | Path, beside: Beside | None = None) -> Layout:
    """The model of FILE, high=FILE,low=FILE or a folder of files, not yet loaded. beside: the other files, where they
    are named. Raises UserError that says what is missing, and where it is found."""
    beside = beside or Beside()
    files = files_of(model)
    own = [_transformer_part(path) for path in files.paths]
    transformers = tuple(_transformer(part) for part in own)
    config, home = transformers[0].config, files.paths[0]
    if any(source.config != config for source in transformers):
        names = " and ".join(str(path) for path in files.paths)
        raise UserError(f"{names} differ in shape; they are no two transformers of one model.")
    _check_vision(config, beside, home)
    found, missing, notes = {}, [], [part.note for part in own if part.note]
    notes += [note] if (note := fewer_layers(config.width, config.layers)) else []
    faults: list[str] = []
    needed: list[Role] = ["codec", "text", *(["vision"] if config.image_dim else [])]
    for role in needed:
        part, note = find_part(role, home, beside, partial(_fits, config))
        if part is None:
            missing.append(f"{beside.named(role)[0]} FILE ({FOUND[role]})")
            faults += [note] if note else []
        else:
            found[role] = part
            notes += [note] if note else []
    if missing:
        whole = next((up for up in list(home.parents)[:3] if (up / "model_index.json").is_file()), None)
        if whole:
            raise UserError(f"{home} is a part of {whole}; give that folder as the model.")
        raise UserError(
            f"{home.name} is the transformer alone; give also {' and '.join(missing)}, from Comfy-Org's repackaged Wan"
            f" repositories, or put such files beside it.{''.join(f' {fault}' for fault in faults)}"
        )
    codec, two = codec_of(found["codec"]), len(files.paths) == 2
    constants = published_constants(config, experts=two, name=files.name)
    info = published_info(
        files.name, None, config, codec.config, experts=two, own_times=constants.get("own_times", False)
    )
    return Layout(
        folder=home,
        info=info,
        transformers=transformers,
        boundary=constants.get("boundary"),
        codec=codec,
        shift=constants["shift"],
        own_times=constants.get("own_times", False),
        times=info.times,
        text=text_of(found["text"]),
        text_entries=found["text"].entries,
        vision=partial(load_file_vision, found["vision"]) if config.image_dim else None,
        notes=tuple(notes),
    )


def with_beside(layout: Layout, beside: Beside) -> Layout:
    """A checkpoint's folder with files for some of its parts. Raises UserError for files that do not fit it."""
    config, home = layout.transformers[0].config, layout.folder
    changes: dict[str, Any] = {}
    if beside.vae:
        part, _ = find_part("codec", home, beside, partial(_fits, config))
        assert part is not None
        changes["codec"] = codec_of(part)
    if beside.text_encoder:
        part, _ = find_part("text", home, beside, partial(_fits, config))
        assert part is not None
        changes |= {"text": text_of(part), "text_entries": part.entries}
    _check_vision(config, beside, home)
    if beside.image_encoder:
        part, _ = find_part("vision", home, beside, partial(_fits, config))
        assert part is not None
        changes["vision"] = partial(load_file_vision, part)
    return replace(layout, **changes)


def _check_vision(config: TransformerConfig, beside: Beside, home: Path) -> None:
    """Refuse a CLIP for a model that sees no pictures by one, which would be left out in silence."""
    if beside.image_encoder and not config.image_dim:
        raise UserError(f"{home.name} has no use for a CLIP; leave out --image-encoder.")


def fewer_layers(width: int, layers: int) -> str:
    """What to say of a transformer that may be cut short; nothing of others."""
    usual = LAYERS.get(width, 0)
    if layers >= usual:
        return ""
    return f"The transformer has {layers} layers, where every published Wan of its width has {usual}: is it whole?"


def _transformer_part(path: Path) -> FilePart:
    parts = [part for part in parts_of(path) if part.role == "transformer"]
    if not parts:
        (first, *_) = parts_of(path)
        raise UserError(
            f"{path} is no transformer but Wan's {WORDS[first.role]}; give the transformer's file as the model."
        )
    return parts[0]


def _transformer(part: FilePart) -> Source[TransformerConfig]:
    path = part.path
    entries = {name: entry for name, entry in part.entries.items() if not wan.unused(name)}
    shapes, adapt = part.shapes, wan_original.from_original
    if part.names == "diffusers":
        shapes = _authors_shapes(shapes)
        adapt = wan.from_wan
    width = shapes["patch_embedding.weight"][0]
    if width % HEAD:
        raise UserError(
            f"{path} has a width of {width}, which is no multiple of {HEAD}, as of every published Wan."
        )
    values = {"num_heads": width // HEAD, "text_len": TEXT_LEN}
    config = wan_original.from_original_config(values, shapes, where=str(path))
    if config.condition_channels not in (0, config.channels + 4):
        raise UserError(
            f"{path} takes {config.condition_channels} channels beside the latents, as Fun Control models do, which are"
            " not supported; models for words, and for first and last frames, are."
        )
    check_transformer_volume(config, entries, str(path))
    return Source(config=config, entries=entries, adapt=adapt, where=path)


def _authors_shapes(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
    """Shapes of a transformer by diffusers' names -> by the authors', as far as its configuration is told from them."""
    back = [(theirs, ours) for ours, theirs in wan.NAMES]
    renamed = {wan.rename(name, back): shape for name, shape in shapes.items()}
    return {wan.rename(name, wan_original.NAMES): shape for name, shape in renamed.items()}


def _fits(config: TransformerConfig, part: FilePart) -> bool:
    """Whether a part is one that a transformer works with."""
    shapes = part.shapes
    match part.role:
        case "codec":
            name = "conv2.weight" if part.names == "authors" else "post_quant_conv.weight"
            return shapes[name][0] == config.channels
        case "text":
            name = "token_embedding.weight" if part.names == "authors" else "shared.weight"
            return shapes[name][1] == config.text_dim
        case "vision":
            names = ("cls_embedding", "vision_model.embeddings.class_embedding")
            return any(shapes.get(name, (0,))[-1] == config.image_dim for name in names)
    return False


def codec_of(part: FilePart) -> Source[CodecConfig]:
    """A codec's file. One that is not a published codec has its shape in a constants.json beside it."""
    where = part.path.parent / "constants.json"
    own = read_json(where).get("codec") if where.is_file() else None
    if own:
        check(VaeFile, own, where=str(where))
        config = wan_codec.config_from_wan(own)
    elif part.names == "authors":
        config = wan_codec_original.published_codec(part.shapes, str(part.path))
    else:
        theirs = {
            "encoder.conv1.weight": part.shapes["encoder.conv_in.weight"],
            "conv2.weight": part.shapes["post_quant_conv.weight"],
        }
        config = wan_codec_original.published_codec(theirs, str(part.path))
    check_codec_volume(config, part.entries, str(part.path))
    to_theirs = wan_codec_original.name_to_original if part.names == "authors" else wan_codec.name_to_wan
    names = {to_theirs(name, config): name for name in codec_names(config)}

    def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ours = {names.get(name, name): tensor for name, tensor in tensors.items()}
        return {name: wan_codec.shape_from_wan(name, tensor) for name, tensor in ours.items()}

    return Source(config=config, entries=part.entries, adapt=adapt, where=part.path)


def text_of(part: FilePart) -> Make:
    """umT5's file, with its tokenizer: in the file, or beside it. Raises UserError where there is none."""
    shapes = part.shapes
    if part.names == "transformers":
        shapes = umt5_original.original_names(shapes)
    values = umt5_original.from_original_config(shapes, str(part.path))
    own = gguf_pieces(part.path) if is_gguf(part.path) else None
    tokenizer: Path | bytes
    if part.pieces is not None:
        tokenizer = read_entry(part.pieces).contiguous().view(torch.uint8).numpy().tobytes()
    else:
        tokenizer = own or _tokenizer_beside(part.path)

    def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return from_umt5(umt5_original.from_original(tensors) if part.names == "authors" else tensors)

    return partial(load_umt5, values, part.entries, adapt, tokenizer, TEXT_LEN, where=part.path)


def _tokenizer_beside(path: Path) -> Path:
    """The folder of umT5's tokenizer near its weights."""
    for folder in (path.parent, path.parent.parent):
        for place in (folder, folder / "tokenizer", folder / "google" / "umt5-xxl", folder / "umt5-xxl"):
            if (place / "tokenizer.json").is_file() or (place / "spiece.model").is_file():
                return place
    raise UserError(
        f"{path.name} has no tokenizer in it, and none is beside it; put tokenizer.json of google/umt5-xxl into"
        f" {path.parent}, or take umt5_xxl_fp16.safetensors, which has one."
    )
