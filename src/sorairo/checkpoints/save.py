"""Writing a checkpoint folder: whole or not at all."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sorairo.checkpoints.adapters import wan, wan_codec
from sorairo.checkpoints.folder import WEIGHTS, read_json
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.scheduler import Predicts, scheduler_config
from sorairo.codec.model import Codec
from sorairo.codec.small import SmallDecoder
from sorairo.config import to_json
from sorairo.files import whole_folder
from sorairo.flow.samplers import Sampler
from sorairo.nn.weights import read_weights
from sorairo.scenes.model import SceneModel
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.types import UserError

__all__ = ["INDEX", "class_of", "replaced", "save_checkpoint", "write_json"]

INDEX = {
    "_class_name": "WanPipeline",
    "_diffusers_version": "0.36.0",
    "boundary_ratio": None,
    "expand_timesteps": True,
    "scheduler": ["diffusers", "UniPCMultistepScheduler"],
    "text_encoder": ["transformers", "BertModel"],
    "tokenizer": ["transformers", "BertTokenizerFast"],
    "transformer": ["diffusers", "WanTransformer3DModel"],
    "transformer_2": [None, None],
    "vae": ["diffusers", "AutoencoderKLWan"],
}
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "vocab.txt")


def save_checkpoint(
    folder: Path | str,
    codec: Codec,
    transformer: Transformer,
    text_source: Path | str,
    info: ModelInfo,
    *,
    shift: float = 1.0,
    predicts: Predicts = "velocity",
    sampler: Sampler | None = None,
    decoder: SmallDecoder | None = None,
    scene: SceneModel | None = None,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write `folder`, in place of what it was, so that both we and diffusers.WanPipeline can load it.

    text_source: a folder that TextEncoder.load reads, a checkpoint or a published BERT. shift: the sampler's. predicts:
    what the transformer gives. sampler: Wan's UniPC if None. decoder: a small one to use in place of the codec's own.
    scene: draws where things are, before the picture. diffusers knows neither. dtype: what the weights of codec and
    transformer are stored in; the text encoder's are always bf16.
    Raises UserError where the folder cannot be written or is not a checkpoint's to replace.
    """
    with replaced(Path(folder)) as fresh:
        _write_parts(fresh, codec, transformer, Path(text_source), info, dtype)
        write_json(fresh / "scheduler" / "scheduler_config.json", scheduler_config(shift, predicts, sampler))
        if decoder is not None:
            _write_model(fresh / "decoder", asdict(decoder.config), _plain(decoder), "model", dtype)
        if scene is not None:
            _write_model(fresh / "scene", asdict(scene.config), _plain(scene), "model", dtype)


@contextmanager
def replaced(folder: Path) -> Iterator[Path]:
    """Yields a fresh folder that stands in the place of `folder` after the block; an exception leaves what was there.

    Raises UserError where the folder cannot be written or holds something else than a checkpoint.
    """
    marks = ("model_index.json", "sorairo.json")
    if folder.is_file():
        raise UserError(f"{folder} is a file; choose a folder.")
    if folder.is_dir() and any(folder.iterdir()) and not any((folder / mark).is_file() for mark in marks):
        raise UserError(f"{folder} holds something else than a checkpoint; choose another folder.")
    with whole_folder(folder) as fresh:
        yield fresh


def _write_parts(
    folder: Path,
    codec: Codec,
    transformer: Transformer,
    text_source: Path,
    info: ModelInfo,
    dtype: torch.dtype,
) -> None:
    write_json(folder / "model_index.json", INDEX | {"transformer": class_of(transformer.config)})
    to_json(info, folder / "sorairo.json")

    state = wan.to_wan(_plain(transformer), transformer.config)
    _write_model(folder / "transformer", wan.to_wan_config(transformer.config), state, WEIGHTS, dtype)
    state = wan_codec.state_to_wan(_plain(codec), codec.config)
    _write_model(folder / "vae", wan_codec.config_to_wan(codec.config), state, WEIGHTS, dtype)

    model, tokens = text_source / "text_encoder", text_source / "tokenizer"
    if not model.is_dir():
        model = tokens = text_source
    config = {key: value for key, value in read_json(model / "config.json").items() if key != "_name_or_path"}
    state = {
        name: tensor for name, tensor in read_weights(model, "model").items() if tensor.is_floating_point()
    }
    _write_model(folder / "text_encoder", config | {"dtype": "bfloat16"}, state, "model", torch.bfloat16)

    (folder / "tokenizer").mkdir()
    for name in TOKENIZER_FILES:
        if (tokens / name).is_file():
            shutil.copyfile(tokens / name, folder / "tokenizer" / name)


def class_of(config: TransformerConfig) -> list[str]:
    """[library, class] by which diffusers finds a transformer's class."""
    return ["sorairo.diffusers" if config.local else "diffusers", wan.class_name(config)]


def _plain(module: nn.Module) -> dict[str, torch.Tensor]:
    """A state dict without the prefix that a compiled module adds to its names."""
    return {name.replace("_orig_mod.", ""): tensor for name, tensor in module.state_dict().items()}


def _write_model(
    folder: Path, config: dict[str, Any], state: dict[str, torch.Tensor], stem: str, dtype: torch.dtype
) -> None:
    from safetensors.torch import save_file

    write_json(folder / "config.json", config)
    stored = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in state.items()}
    save_file(stored, folder / f"{stem}.safetensors", metadata={"format": "pt"})


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Indented JSON; its folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n")
