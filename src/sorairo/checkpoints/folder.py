"""A checkpoint is a folder in diffusers' layout, safetensors only, plus sorairo.json. Reading it.

model_index.json            WanPipeline, and which class reads which part
transformer/ vae/           config.json, diffusion_pytorch_model.safetensors
text_encoder/ tokenizer/    a BERT, as transformers saves it
scheduler/                  UniPC over flow sigmas, and its shift
sorairo.json                ModelInfo
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch

import sorairo
from sorairo.checkpoints import store
from sorairo.checkpoints.adapters import wan, wan_codec
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.streaming import load_streamed
from sorairo.checkpoints.tensors import load_weights, weight_entries
from sorairo.codec.model import Codec
from sorairo.codec.streaming import InPieces
from sorairo.config import from_json
from sorairo.nn.causal_conv import channels_innermost
from sorairo.nn.weights import Blank
from sorairo.tasks.abilities import Abilities
from sorairo.text.encoder import TextEncoder
from sorairo.transformer.model import Transformer
from sorairo.types import UserError

__all__ = [
    "WEIGHTS",
    "Checkpoint",
    "compute_dtype",
    "find_folder",
    "load_checkpoint",
    "load_codec",
    "model_names",
    "read_info",
    "read_json",
]

WEIGHTS = "diffusion_pytorch_model"
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}
PARTS = {
    "transformer": "WanTransformer3DModel",
    "vae": "AutoencoderKLWan",
    "text_encoder": "BertModel",
    "tokenizer": None,
    "scheduler": "UniPCMultistepScheduler",
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A loaded model. shift: of the noise levels that the sampler visits. dtype: of codec and transformer."""

    folder: Path
    info: ModelInfo
    codec: Codec
    transformer: Transformer
    text: TextEncoder
    shift: float
    dtype: torch.dtype
    device: torch.device

    @property
    def abilities(self) -> Abilities:
        """What tasks need to know of it."""
        names = {field.name for field in fields(Abilities)} - {"step"}
        known = {name: getattr(self.info, name) for name in names}
        return Abilities(**known, step=self.codec.config.time_factor)


def load_checkpoint(
    name_or_folder: str | Path,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    *,
    stream: bool = False,
    pieces: bool = False,
) -> Checkpoint:
    """The model of that name, out of the package, or in that folder.

    dtype: auto (bf16 where the processor computes in it, else fp32), bf16, fp32. stream, pieces: see MemoryPlan. Raises
    UserError that says what is missing or wrong; nothing is ever unpickled.
    """
    device = torch.device(device)
    kind = compute_dtype(dtype, device)
    folder = find_folder(name_or_folder)
    info = read_info(folder)
    check_index(folder)
    codec = load_codec(folder / "vae", kind).to(device)
    return Checkpoint(
        folder=folder,
        info=info,
        codec=InPieces(codec) if pieces else codec,
        transformer=_load_transformer(folder / "transformer", info, kind, device, stream),
        text=TextEncoder.load(folder, info.text_len),
        shift=_read_shift(folder / "scheduler" / "scheduler_config.json"),
        dtype=kind,
        device=device,
    )


def models_folder() -> Path:
    return Path(sorairo.__file__).parent / "models"


def model_names() -> list[str]:
    """The models that ship in the package."""
    return sorted(path.parent.name for path in models_folder().glob("*/model_index.json"))


def find_folder(name_or_folder: str | Path) -> Path:
    """The folder of a model. Raises UserError where there is none."""
    path = Path(name_or_folder)
    if path.is_file():
        if path.name == "model_index.json":
            return path.parent
        raise UserError(f"{path} is a file; give the folder of a checkpoint (the one with model_index.json).")
    if path.is_dir():
        return path
    names = model_names()
    if str(name_or_folder) in names:
        return models_folder() / str(name_or_folder)
    if pulled := store.find(str(name_or_folder)):
        return pulled
    known = ", ".join([*names, *store.SHORT_NAMES])
    raise UserError(f"There is no model or folder {str(name_or_folder)!r}; give a folder or one of: {known}.")


def read_info(folder: Path) -> ModelInfo:
    """ModelInfo of a checkpoint folder, without loading it."""
    if not (folder / "model_index.json").is_file():
        raise UserError(
            f"{folder} is no checkpoint: model_index.json is missing; give the folder that has it."
        )
    store.check_complete(folder)
    if read_json(folder / "model_index.json").get("_class_name") == "DiTPipeline":
        raise UserError(
            f"{folder.name} makes pictures of classes, not of words: give --class in place of PROMPT."
        )
    return from_json(ModelInfo, folder / "sorairo.json")


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file of a checkpoint."""
    try:
        values = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise UserError(f"{path} is missing; copy the checkpoint again.") from error
    except (ValueError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: it is not valid JSON; copy it again.") from error
    if not isinstance(values, dict):
        raise UserError(f"{path} is damaged: it holds no JSON object; copy it again.")
    return values


def check_index(folder: Path) -> None:
    """Whether model_index.json names the classes that we have, and their folders are there."""
    index = read_json(folder / "model_index.json")
    for part, want in PARTS.items():
        found = index.get(part)
        if not (folder / part).is_dir():
            raise UserError(f"{folder} is not whole: {part}/ is missing; copy the checkpoint again.")
        kind = found[1] if isinstance(found, list) and len(found) == 2 else None
        if want and kind != want:
            raise UserError(f"{folder}: {part} is of class {kind}; only {want} is supported.")


def _load_transformer(
    folder: Path, info: ModelInfo, dtype: torch.dtype, device: torch.device, stream: bool
) -> Transformer:
    path = folder / "config.json"
    try:
        config = wan.from_wan_config(read_json(path), text_len=info.text_len, where=str(path))
    except KeyError as error:
        raise UserError(f"{path} lacks {error}; copy it again.") from error
    with torch.device("meta") if stream else Blank():
        transformer = Transformer(config)
    if stream:
        load_streamed(transformer, weight_entries(folder), wan.from_wan, dtype, device)
        return transformer
    load_weights(transformer, folder, wan.from_wan, dtype)
    return transformer.to(device, dtype).eval().requires_grad_(False)


def load_codec(folder: Path, dtype: torch.dtype) -> Codec:
    """The codec in a vae/ folder, frozen."""
    path = folder / "config.json"
    try:
        config = wan_codec.config_from_wan(read_json(path))
    except KeyError as error:
        raise UserError(f"{path} lacks {error}; copy it again.") from error
    with Blank():
        codec = Codec(config)
    names = {wan_codec.name_to_wan(name, config): name for name in codec.state_dict()}

    def adapt(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        ours = {names.get(name, name): tensor for name, tensor in tensors.items()}
        return {name: wan_codec.shape_from_wan(name, tensor) for name, tensor in ours.items()}

    load_weights(codec, folder, adapt, dtype)
    channels_innermost(codec)
    return codec.to(dtype).eval().requires_grad_(False)


def _read_shift(path: Path) -> float:
    values = read_json(path)
    for key, only in (("prediction_type", "flow_prediction"), ("use_flow_sigmas", True), ("solver_order", 2)):
        if values.get(key) != only:
            raise UserError(f"{path}: {key} is {values.get(key)!r}; only {only!r} is supported.")
    return float(values.get("flow_shift", 1.0))


def compute_dtype(dtype: str | torch.dtype, device: torch.device | None = None) -> torch.dtype:
    """The dtype of auto, bf16 or fp32 on a device (None: the CPU). Raises UserError for another word."""
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto":
        if device and device.type != "cpu":
            return torch.bfloat16
        native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
        return torch.bfloat16 if native else torch.float32
    if dtype not in DTYPES:
        raise UserError(f"dtype must be auto, bf16 or fp32, not {dtype!r}.")
    return DTYPES[dtype]
