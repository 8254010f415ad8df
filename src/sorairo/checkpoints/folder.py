"""A checkpoint is a folder in diffusers' layout, safetensors only, plus sorairo.json. Loading it.

model_index.json            WanPipeline, WanImageToVideoPipeline or WanDMDPipeline, and which class reads which part
transformer/ vae/           config.json, diffusion_pytorch_model.safetensors, in one file or in several
transformer_2/              with another for low noise, where two take turns
text_encoder/ tokenizer/    a BERT or umT5, as transformers saves them
image_encoder/ and _processor/   a CLIP's vision tower, where the model is told of pictures through one
scheduler/                  UniPC over flow sigmas, and its shift
decoder/ scene/             of our own models: a small decoder, and what draws where things are
sorairo.json                ModelInfo; published models have none

LongCat-Video's authors have dit/ in place of transformer/, and no index. The layout of Wan's authors is read too: see
original.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch
from torch import nn

from sorairo.checkpoints.beside import Beside, is_files
from sorairo.checkpoints.families import family_of
from sorairo.checkpoints.fastest import fastest
from sorairo.checkpoints.few_steps import FewSteps, few_steps
from sorairo.checkpoints.files_layout import files_layout, with_beside
from sorairo.checkpoints.find import find_folder, located, model_names
from sorairo.checkpoints.hub import store
from sorairo.checkpoints.index import is_longcat, read_json
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.layouts import Layout, Source, codec_source, diffusers_layout, info_of
from sorairo.checkpoints.memory.available import available_memory
from sorairo.checkpoints.memory.streaming import load_streamed
from sorairo.checkpoints.memory.working import entries_part
from sorairo.checkpoints.original import check_class, is_original, original_info, original_layout
from sorairo.checkpoints.scheduler import Predicts
from sorairo.checkpoints.tensors import load_weights
from sorairo.codec.model import Codec, CodecConfig
from sorairo.codec.small import SmallDecoder
from sorairo.flow.samplers import UNIPC, Sampler
from sorairo.nn.causal_conv import channels_innermost
from sorairo.nn.int8_conv import convolutions_to_int8
from sorairo.nn.precision import bf16_pays
from sorairo.nn.quantised import to_int8
from sorairo.nn.weights import Blank
from sorairo.scenes.embedding import SceneEmbedding
from sorairo.scenes.model import SceneModel
from sorairo.tasks.abilities import Abilities
from sorairo.text.encoder import TextEncoder
from sorairo.text.umt5 import UMT5Encoder
from sorairo.transformer.experts import Experts
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.transformer.vision import Vision
from sorairo.types import UserError

__all__ = [
    "WEIGHTS",
    "Checkpoint",
    "compute_dtype",
    "find_folder",
    "load_checkpoint",
    "load_codec",
    "load_codec_source",
    "model_names",
    "open_layout",
    "open_model",
    "read_info",
    "read_json",
]

WEIGHTS = "diffusion_pytorch_model"
Config = TypeVar("Config")
Network = TypeVar("Network", bound=nn.Module)
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


@dataclass(frozen=True, kw_only=True, eq=False)
class Checkpoint:
    """A loaded model. shift, sampler, times, predicts, notes: see Layout. dtype: of codec and transformer.

    vision: what the model sees given pictures with, where it does so by more than their latents. few_steps: what it was
    distilled to, where that is known of its file or its LoRAs. decoder: a small one, used in place of the codec's own.
    scene: draws where things are, before the picture.
    """

    folder: Path
    info: ModelInfo
    codec: Codec
    transformer: Transformer | Experts
    text: TextEncoder | UMT5Encoder
    shift: float
    dtype: torch.dtype
    device: torch.device
    vision: Vision | None = None
    times: tuple[float, ...] = ()
    predicts: Predicts = "velocity"
    sampler: Sampler = UNIPC
    notes: tuple[str, ...] = ()
    few_steps: FewSteps | None = None
    decoder: SmallDecoder | None = None
    scene: SceneModel | None = None

    def pixels(self, latents: torch.Tensor) -> torch.Tensor:
        """b z (1+k) h w, normalised -> b 3 (1+fk) sh sw in [-1, 1], by the small decoder where there is one."""
        return (self.decoder or self.codec).decode(latents.to(self.dtype))

    @property
    def scene_embedding(self) -> SceneEmbedding | None:
        """By which the transformer sees a scene, where there is one."""
        return self.scene.embedding if self.scene else None

    @property
    def abilities(self) -> Abilities:
        """What tasks need to know of it."""
        computed = {"step", "only_steps", "own_levels", "multiple", "scene_frames"}
        names = {field.name for field in fields(Abilities)} - computed
        known = {name: getattr(self.info, name) for name in names}
        smaller = self.sampler.pyramid.smaller if self.sampler.pyramid else 1
        return Abilities(
            **known,
            step=self.codec.config.time_factor,
            only_steps=len(self.times) or None,
            own_levels=self.sampler.pyramid is not None,
            multiple=self.codec.config.space_factor * self.transformer.config.patch_side * smaller,
            scene_frames=1 + (self.scene.config.frames - 1) * self.codec.config.time_factor
            if self.scene
            else 0,
        )


def load_checkpoint(
    name_or_folder: str | Path,
    dtype: str | torch.dtype = "auto",
    device: str | torch.device = "cpu",
    *,
    stream: bool = False,
    pieces: bool = False,
    keep: bool | None = None,
    beside: Beside | None = None,
) -> Checkpoint:
    """The model of that name, out of the package, in that folder, or in that file ("high=FILE,low=FILE" of two).

    dtype: auto (bf16 where the processor computes in it, else fp32; of a large model what it multiplies fastest, see
    `fastest`), bf16, fp32, or int8: the products of the transformer's blocks and of umT5's in 8 bits, and the
    convolutions of the codec's decoder where that pays (nn/int8_conv.py). umT5 and a CLIP are in bf16 unless fp32 is
    asked for by name. stream, pieces, keep: see MemoryPlan; keep None: as long as the weights fit into the memory that
    is free now. beside: files for parts of the model. Raises UserError that says what is missing or wrong; nothing is
    ever unpickled.
    """
    device = torch.device(device)
    encoders = torch.float32 if dtype in ("fp32", torch.float32) else torch.bfloat16
    layout = open_model(name_or_folder, beside)
    dtype, note = fastest(dtype, layout, device)
    kind = compute_dtype(dtype, device, int8=True)
    free = available_memory(device)
    int8 = dtype == "int8"
    loaders = [
        partial(_load_transformer, source, kind, device, stream, int8) for source in layout.transformers
    ]
    transformer: Transformer | Experts
    if layout.boundary is None:
        transformer = loaders[0]()
    else:
        config = layout.transformers[0].config
        transformer = Experts(*loaders, config=config, boundary=layout.boundary, streamed=stream)
    codec = load_codec_source(layout.codec, kind).to(device)
    codec.lean = pieces
    if int8:
        convolutions_to_int8(codec.decoder, but=("conv_in", "conv_out"))
    checkpoint = Checkpoint(
        folder=layout.folder,
        info=layout.info,
        codec=codec,
        transformer=transformer,
        text=layout.text(torch.int8 if int8 else encoders, device, stream),
        shift=layout.shift,
        dtype=kind,
        device=device,
        vision=layout.vision(encoders, device) if layout.vision else None,
        times=layout.times,
        predicts=layout.predicts,
        sampler=layout.sampler,
        notes=(*layout.notes, *([note] if note else [])),
        decoder=_load_convolutions(SmallDecoder, layout.decoder, kind).to(device) if layout.decoder else None,
        scene=_load_scene(layout, kind).to(device) if layout.scene else None,
        few_steps=few_steps([layout.folder]) if layout.folder.is_file() else None,
    )
    _share_memory(checkpoint, layout, free, keep)
    return checkpoint


def open_model(name_or_folder: str | Path, beside: Beside | None = None) -> Layout:
    """The model of a name, a folder or files, not yet loaded. Raises UserError."""
    model = located(name_or_folder)
    if is_files(model):
        return files_layout(model, beside)
    layout = open_layout(find_folder(model))
    return with_beside(layout, beside) if beside else layout


def open_layout(folder: Path) -> Layout:
    """The checkpoint in a folder, in whichever layout, not yet loaded. Raises UserError."""
    read_info(folder)  # says best what is wrong with the folder as a whole
    return original_layout(folder) if is_original(folder) else diffusers_layout(folder)


def _share_memory(checkpoint: Checkpoint, layout: Layout, free: int | None, keep: bool | None) -> None:
    """Decide, where `keep` does not, whether what is used for a moment stays. free: bytes there were before."""
    parts = (layout.codec, *layout.transformers)
    weights = sum(entries_part("", part.entries).bytes_in(checkpoint.dtype) for part in parts)
    if isinstance(checkpoint.text, UMT5Encoder):
        fits = free is None or weights + checkpoint.text.nbytes < 0.8 * free
        checkpoint.text.keep = fits if keep is None else keep
    if isinstance(checkpoint.transformer, Experts):
        fits = free is None or weights < 0.8 * free
        checkpoint.transformer.keep = fits if keep is None else keep


def read_info(folder: Path) -> ModelInfo:
    """ModelInfo of a checkpoint folder, without loading it."""
    store.check_complete(folder)
    if is_original(folder):
        return original_info(folder)
    check_class(folder)
    index = folder / "model_index.json"
    if not index.is_file() and not is_longcat(folder):
        raise UserError(
            f"{folder} is no checkpoint: model_index.json is missing; give the folder that has it."
        )
    if index.is_file() and read_json(index).get("_class_name") == "DiTPipeline":
        raise UserError(f"{folder.name} makes pictures of classes, not of words: use sorairo picture CLASS.")
    return info_of(folder)


def _load_transformer(
    source: Source[TransformerConfig], dtype: torch.dtype, device: torch.device, stream: bool, int8: bool
) -> Transformer:
    # the meta device's first use imports a second and a half of torch, which a small model does without
    with torch.device("meta") if stream or source.config.width >= 1024 else Blank():
        transformer = family_of(source.config).build(source.config)
    if int8:
        to_int8(transformer, "blocks", but=("modulation",))
        if source.config.control_layers:
            to_int8(transformer, "control", but=("embed",))
    if stream:
        load_streamed(transformer, source.entries, source.adapt, dtype, device, where=source.where)
        return transformer
    load_weights(transformer, source.entries, source.adapt, dtype, where=source.where)
    return transformer.to(device, dtype).eval().requires_grad_(False)


def _load_scene(layout: Layout, dtype: torch.dtype) -> SceneModel:
    assert layout.scene is not None
    with Blank():
        scene = SceneModel(layout.scene.config)
    load_weights(scene, layout.scene.entries, layout.scene.adapt, dtype, where=layout.scene.where)
    return scene.to(dtype).eval().requires_grad_(False)


def load_codec(folder: Path, dtype: torch.dtype) -> Codec:
    """The codec in a vae/ folder, frozen."""
    return load_codec_source(codec_source(folder), dtype)


def load_codec_source(source: Source[CodecConfig], dtype: torch.dtype) -> Codec:
    """The codec of a layout, frozen."""
    return _load_convolutions(Codec, source, dtype)


def _load_convolutions(
    build: Callable[[Config], Network], source: Source[Config], dtype: torch.dtype
) -> Network:
    """A network of convolutions, frozen: a codec, or a small decoder."""
    with Blank():
        network = build(source.config)
    load_weights(network, source.entries, source.adapt, dtype, where=source.where)
    channels_innermost(network)
    return network.to(dtype).eval().requires_grad_(False)


def compute_dtype(
    dtype: str | torch.dtype, device: torch.device | None = None, *, int8: bool = False
) -> torch.dtype:
    """The dtype of auto, bf16 or fp32 on a device (None: the CPU). Raises UserError for another word.

    int8: whether that word is known too; what is beside its products is as with auto.
    """
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype == "auto" or (int8 and dtype == "int8"):
        return torch.bfloat16 if bf16_pays(device) else torch.float32
    if dtype not in DTYPES:
        raise UserError(f"dtype must be auto, bf16{', fp32 or int8' if int8 else ' or fp32'}, not {dtype!r}.")
    return DTYPES[dtype]
