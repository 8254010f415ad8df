"""The authors' own layout, which ComfyUI and others read. Safetensors only: what is published as .pth is refused.

config.json, diffusion_pytorch_model*.safetensors   WanModel; where two take turns, in high_noise_model/ and
                                                    low_noise_model/
*VAE*.safetensors                                   the codec
models_t5*.safetensors, google/umt5-xxl/            umT5 and its tokenizer; or text_encoder/ and tokenizer/
models_clip*.safetensors                            a CLIP; or image_encoder/, image_processor/ as transformers saves it
constants.json                                      what their code knows by heart; published models have none
sorairo.json                                        ModelInfo; published models have none
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch

from sorairo.checkpoints.adapters import umt5_original, wan_codec, wan_codec_original, wan_original
from sorairo.checkpoints.encoders import from_umt5, load_original_vision, load_text, load_umt5, load_vision
from sorairo.checkpoints.headers import PICKLES, Entry, files_like, read_header, weight_entries
from sorairo.checkpoints.hub import store
from sorairo.checkpoints.index import read_json
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.layouts import Layout, Make, Source, codec_names
from sorairo.checkpoints.published import published_constants, published_info
from sorairo.checkpoints.relatives import check_relatives
from sorairo.checkpoints.scaled import with_scales
from sorairo.checkpoints.scheduler import Predicts
from sorairo.checkpoints.schemas import (
    OriginalFile,
    VaeFile,
    check_codec_volume,
    check_transformer_volume,
)
from sorairo.codec.model import CodecConfig
from sorairo.config import check, from_dict, from_json
from sorairo.flow.samplers import UNIPC, Sampler
from sorairo.transformer.model import TransformerConfig
from sorairo.types import UserError

__all__ = [
    "CLIP",
    "EXPERTS",
    "TOKENIZER",
    "Constants",
    "check_class",
    "is_original",
    "original_info",
    "original_layout",
    "t5_file",
]

EXPERTS = ("high_noise_model", "low_noise_model")
TOKENIZER = Path("google/umt5-xxl")
CLIP = "models_clip*"
# _class_name of config.json -> whose it is
RELATIVE_CLASSES = {
    "WanAnimateModel": "Wan 2.2 Animate: a driving clip's poses and faces",
    "WanModel_S2V": "Wan 2.2 S2V: speech",
    "WanModelS2V": "Wan 2.2 S2V: speech",
    "WanTransformer3DModel": "a transformer of diffusers without the rest of its folder, model_index.json",
    "LongCatVideoTransformer3DModel": "LongCat-Video without the rest of its folder",
    "HeliosTransformer3DModel": "Helios without the rest of its folder, model_index.json",
}


@dataclass(frozen=True, kw_only=True)
class Constants:
    """constants.json. times, predicts, sampler, family: see Layout. codec: the vae/config.json of diffusers, where the
    codec is not a published one."""

    shift: float
    boundary: float | None = None
    own_times: bool = False
    times: tuple[float, ...] = ()
    predicts: Predicts = "velocity"
    sampler: Sampler = UNIPC
    codec: dict[str, Any] | None = None
    family: str = ""


def is_original(folder: Path) -> bool:
    """Whether a folder is in this layout."""
    where = next((path for path in _configs(folder) if path.is_file()), None)
    if (folder / "model_index.json").is_file() or where is None:
        return False
    return read_json(where).get("_class_name") in wan_original.CLASSES


def check_class(folder: Path) -> None:
    """Raise UserError, by the model's name, for a folder in this layout of a relative that is not supported."""
    where = next((path for path in _configs(folder) if path.is_file()), None)
    if where is None or (folder / "model_index.json").is_file():
        return
    kind = read_json(where).get("_class_name")
    if kind in wan_original.CLASSES or not isinstance(kind, str):
        return
    named = f" ({RELATIVE_CLASSES[kind]})" if kind in RELATIVE_CLASSES else ""
    known = ", ".join(wan_original.CLASSES)
    raise UserError(
        f"{folder} is of {kind}{named}, which is not supported; of the authors' own layouts {known} are."
    )


def original_layout(folder: Path) -> Layout:
    """A folder in this layout. Raises UserError that says what is missing or wrong."""
    constants = _constants(folder)
    info = original_info(folder)
    text = _t5(folder, info.text_len) if t5_file(folder) else partial(load_text, folder, info.text_len)
    transformers = _transformers(folder)
    vision = None
    if (folder / "image_encoder").is_dir():
        vision = partial(load_vision, folder)
    elif transformers[0].config.image_dim:
        vision = partial(load_original_vision, _only(folder, CLIP, "the CLIP that it sees pictures with"))
    return Layout(
        folder=folder,
        family=constants.family,
        info=info,
        transformers=transformers,
        boundary=constants.boundary,
        codec=_codec(folder, constants),
        shift=constants.shift,
        own_times=constants.own_times,
        times=constants.times or info.times,
        predicts=constants.predicts,
        sampler=constants.sampler,
        text=text,
        vision=vision,
    )


def original_info(folder: Path) -> ModelInfo:
    """ModelInfo of a folder in this layout: its sorairo.json, or what its tensors tell."""
    own = folder / "sorairo.json"
    if own.is_file():
        return from_json(ModelInfo, own)
    transformers, constants = _transformers(folder), _constants(folder)
    where = next(path for path in _configs(folder) if path.is_file())
    causal = read_json(where).get("_class_name") == "CausalWanModel"
    return published_info(
        store.name_of(folder),
        store.repo_of(folder),
        transformers[0].config,
        _codec(folder, constants).config,
        experts=len(transformers) == 2,
        own_times=constants.own_times,
        times=constants.times,
        family=constants.family or ("WanCausalDMDPipeline" if causal else ""),
    )


def t5_file(folder: Path) -> Path | None:
    """The file of umT5's weights under the authors' names, where there is one."""
    return next(iter(files_like(folder, "models_t5*", ".safetensors")), None)


def _configs(folder: Path) -> list[Path]:
    """config.json of each transformer that there may be."""
    return [folder / "config.json", *(folder / name / "config.json" for name in EXPERTS)]


def _transformers(folder: Path) -> tuple[Source[TransformerConfig], ...]:
    folders = [folder / name for name in EXPERTS] if (folder / EXPERTS[0]).is_dir() else [folder]
    return tuple(_transformer(path) for path in folders)


def _transformer(folder: Path) -> Source[TransformerConfig]:
    where = folder / "config.json"
    stem = "diffusion_pytorch_model*"
    if not any(folder.glob(f"{stem}.safetensors")) and any(folder.glob("model[.-]*safetensors")):
        stem = "model"  # SkyReels-V2
    entries = with_scales(weight_entries(folder, stem))
    check_relatives(entries, str(folder))
    values = read_json(where)
    check(OriginalFile, values, where=str(where))
    config = wan_original.from_original_config(values, _shapes(entries), where=str(where))
    check_transformer_volume(config, entries, str(where))
    return Source(config=config, entries=entries, adapt=wan_original.from_original, where=folder)


def _codec(folder: Path, constants: Constants) -> Source[CodecConfig]:
    where = _only(folder, "*VAE*", "its codec")
    entries = with_scales(read_header(where))
    if constants.codec:
        check(VaeFile, constants.codec, where=str(folder / "constants.json"))
        config = wan_codec.config_from_wan(constants.codec)
    else:
        config = wan_codec_original.published_codec(_shapes(entries), str(where))
    check_codec_volume(config, entries, str(where))
    names = {wan_codec_original.name_to_original(name, config): name for name in codec_names(config)}

    def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ours = {names.get(name, name): tensor for name, tensor in tensors.items()}
        return {name: wan_codec.shape_from_wan(name, tensor) for name, tensor in ours.items()}

    return Source(config=config, entries=entries, adapt=adapt, where=where)


def _t5(folder: Path, text_len: int) -> Make:
    where = _only(folder, "models_t5*", "its text encoder")
    entries = with_scales(read_header(where))
    values = umt5_original.from_original_config(_shapes(entries), str(where))
    tokenizer = folder / TOKENIZER if (folder / TOKENIZER).is_dir() else folder / "tokenizer"

    def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        return from_umt5(umt5_original.from_original(tensors))

    return partial(load_umt5, values, entries, adapt, tokenizer, text_len)


def _constants(folder: Path) -> Constants:
    path = folder / "constants.json"
    if path.is_file():
        return from_dict(Constants, read_json(path), where=str(path))
    transformers = _transformers(folder)
    config, two = transformers[0].config, len(transformers) == 2
    return Constants(**published_constants(config, experts=two, name=store.name_of(folder)))


def _shapes(entries: Mapping[str, Entry]) -> dict[str, tuple[int, ...]]:
    return {name: entry.shape for name, entry in entries.items()}


def _only(folder: Path, pattern: str, what: str) -> Path:
    """The one safetensors file of that name. Raises UserError where there is none, or only a pickle."""
    files = files_like(folder, pattern, ".safetensors")
    if len(files) == 1:
        return files[0]
    if files:
        raise UserError(f"{folder} holds {len(files)} files {pattern}.safetensors; leave one, {what}.")
    pickles = sorted(path.name for path in folder.glob(pattern) if path.suffix.lower() in PICKLES)
    if pickles:
        raise UserError(
            f"{folder} holds {what} as a pickle ({pickles[0]}), which can run code when it is opened; convert it to"
            f" {Path(pickles[0]).stem}.safetensors where you trust it (docs/models.md shows how)."
        )
    raise UserError(
        f"{folder} is not whole: {what} ({pattern}.safetensors) is missing; copy the checkpoint again."
    )
