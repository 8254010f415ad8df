"""A checkpoint in another layout: its tensors' bytes under other names, copied from file to file, nothing loaded."""

from __future__ import annotations

import json
import shutil
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from sorairo.checkpoints.adapters import umt5_original, wan_codec, wan_codec_original, wan_original
from sorairo.checkpoints.families import family_of
from sorairo.checkpoints.folder import WEIGHTS, open_layout
from sorairo.checkpoints.headers import DTYPES, PICKLES, Entry, read_header, weight_entries
from sorairo.checkpoints.index import DMD_TIMES, read_json
from sorairo.checkpoints.info import ModelInfo
from sorairo.checkpoints.layouts import Layout, Source
from sorairo.checkpoints.lora import Lora, LoraAsk, check_base, check_lora, parse_lora, read_lora, with_loras
from sorairo.checkpoints.original import CLIP, EXPERTS, TOKENIZER, Constants, t5_file
from sorairo.checkpoints.save import INDEX, class_of, replaced, write_json
from sorairo.checkpoints.scheduler import scheduler_class, scheduler_config
from sorairo.checkpoints.tensors import Adapt, load_weights
from sorairo.codec.model import CodecConfig
from sorairo.config import to_json
from sorairo.nn.lora import merge
from sorairo.transformer.model import Transformer, TransformerConfig
from sorairo.types import UserError

__all__ = ["LAYOUTS", "export", "export_trained", "write_entries"]

PREVIEW = "preview.safetensors"  # what previews are drawn with, of the same codec
CHUNK = 1 << 24  # bytes copied at once
NAMES = {dtype: name for name, dtype in DTYPES.items()}
Tensors = Mapping[str, torch.Tensor]


def export(source: Path, target: Path, layout: str, loras: Sequence[str] = ()) -> None:
    """Write the checkpoint in `source` to the folder `target`, in place of a checkpoint there, bit for bit.

    layout: a key of LAYOUTS. loras: as apply_loras takes them, added to the weights; then the layout is diffusers'.
    Raises UserError for what is no video model, another layout, and a folder that cannot be written.
    """
    if layout not in LAYOUTS:
        raise UserError(f"There is no layout {layout!r}; choose {' or '.join(LAYOUTS)}.")
    if target.resolve() == source.resolve():
        raise UserError(f"{target} is the model itself; choose another folder.")
    if loras and layout != "diffusers":
        raise UserError(
            "A LoRA is added to the weights in diffusers' layout alone; export its result once more."
        )
    found = open_layout(source)
    info = found.info
    with replaced(target) as fresh:
        LAYOUTS[layout](found, fresh)
        if loras:
            read = [
                (parse_lora(ask), check_base(read_lora(parse_lora(ask).path), info.name)) for ask in loras
            ]
            _add_loras(found, fresh, read)
            info = replace(with_loras(info, read), scorecard={})
        to_json(info, fresh / "sorairo.json")


def export_trained(source: Path, target: Path, transformer: Transformer, info: ModelInfo) -> None:
    """As export() in diffusers' layout, with other weights in the one transformer, in the dtypes that it had."""
    found = open_layout(source)
    with replaced(target) as fresh:
        _diffusers(found, fresh)
        _write_transformer(fresh / "transformer", transformer)
        to_json(info, fresh / "sorairo.json")


def _diffusers(found: Layout, folder: Path) -> None:
    """As WanPipeline saves it."""
    if found.vision and not (found.folder / "image_encoder").is_dir():
        raise UserError(
            f"{found.folder} has its CLIP under the authors' names; put image_encoder/ and image_processor/ of the"
            " diffusers repository beside it."
        )
    for name, part in zip(("transformer", "transformer_2"), found.transformers, strict=False):
        config, family = part.config, family_of(part.config)
        values = family.to_config(config)
        values["_class_name"] = _apart(found) or values["_class_name"]
        write_json(folder / name / "config.json", values)
        write_entries(
            folder / name / f"{WEIGHTS}.safetensors",
            part,
            lambda ours, to=family.to_theirs, c=config: to(ours, c),
        )
    write_json(folder / "vae" / "config.json", wan_codec.config_to_wan(found.codec.config))
    write_entries(folder / "vae" / f"{WEIGHTS}.safetensors", found.codec, _codec_names(found.codec.config))
    scheduler = scheduler_config(found.shift, found.predicts, found.sampler)
    write_json(folder / "scheduler" / "scheduler_config.json", scheduler)
    where = t5_file(found.folder)
    if where:
        entries = read_header(where)
        shapes = {name: entry.shape for name, entry in entries.items()}
        values = umt5_original.from_original_config(shapes, str(where))
        write_json(folder / "text_encoder" / "config.json", values)
        write_entries(folder / "text_encoder" / "model.safetensors", entries, umt5_original.from_original)
        _copy(found.folder / TOKENIZER, folder / "tokenizer")
    for name in ("text_encoder", "tokenizer", "image_encoder", "image_processor", "decoder", "scene"):
        _copy(found.folder / name, folder / name)
    if (found.folder / PREVIEW).is_file():
        shutil.copyfile(found.folder / PREVIEW, folder / PREVIEW)
    write_json(folder / "model_index.json", _index(found, folder))


def _add_loras(found: Layout, folder: Path, read: Sequence[tuple[LoraAsk, Lora]]) -> None:
    """Write the transformers once more with LoRAs in them, each weight in its own dtype."""
    parts = found.transformers
    if len(parts) == 1 and any(ask.expert for ask, _ in read):
        raise UserError(f"{found.info.name} has one transformer; give its LoRAs without high= and low=.")
    for name, which, part in zip(("transformer", "transformer_2"), ("high", "low"), parts, strict=False):
        family, own = family_of(part.config), [one for one in read if one[0].expert in ("", which)]
        if not own:
            continue
        with torch.device("meta"):
            module = family.build(part.config)
        loras = [(check_lora(lora, module).changes, ask.weight) for ask, lora in own]
        load_weights(module, part.entries, part.adapt, where=part.where)
        merge(module, loras, keep=False)
        _write_transformer(folder / name, module)


def _write_transformer(folder: Path, transformer: Transformer) -> None:
    """Write weights over those that lie in a folder of diffusers' layout, each in the dtype that it has there."""
    path, config = folder / f"{WEIGHTS}.safetensors", transformer.config
    kinds = {name: entry.dtype for name, entry in read_header(path).items()}
    state = family_of(config).to_theirs(transformer.state_dict(), config)
    stored = {name: tensor.detach().to("cpu", kinds[name]).contiguous() for name, tensor in state.items()}
    save_file(stored, path, metadata={"format": "pt"})


def _original(found: Layout, folder: Path) -> None:
    """As Wan's authors publish it, and beside it what their code knows by heart."""
    if type(found.transformers[0].config) is not TransformerConfig:
        raise UserError(f"{found.folder} is no Wan, and only Wan's authors have this layout; take diffusers.")
    homes = [folder] if len(found.transformers) == 1 else [folder / name for name in EXPERTS]
    for home, part in zip(homes, found.transformers, strict=True):
        write_json(home / "config.json", wan_original.to_original_config(part.config))
        config = part.config
        write_entries(
            home / f"{WEIGHTS}.safetensors", part, lambda ours, c=config: wan_original.to_original(ours, c)
        )
    write_entries(folder / "VAE.safetensors", found.codec, _codec_names(found.codec.config, original=True))
    constants = Constants(
        shift=found.shift,
        boundary=found.boundary,
        own_times=found.own_times,
        times=found.times,
        predicts=found.predicts,
        sampler=found.sampler,
        family=found.family,
        codec=wan_codec.config_to_wan(found.codec.config),
    )
    to_json(constants, folder / "constants.json")
    for clip in found.folder.glob(f"{CLIP}.safetensors"):
        shutil.copyfile(clip, folder / clip.name)
    left = ["image_encoder", "image_processor"]
    if where := t5_file(found.folder):
        shutil.copyfile(where, folder / where.name)
        _copy(found.folder / TOKENIZER, folder / TOKENIZER)
    elif read_json(found.folder / "text_encoder" / "config.json").get("model_type") == "umt5":
        entries = weight_entries(found.folder / "text_encoder")
        write_entries(folder / "models_t5_umt5.safetensors", entries, umt5_original.to_original)
        _copy(found.folder / "tokenizer", folder / TOKENIZER)
    else:  # a BERT, which their layout does not know
        left += ["text_encoder", "tokenizer"]
    for name in left:
        _copy(found.folder / name, folder / name)


LAYOUTS: dict[str, Callable[[Layout, Path], None]] = {"diffusers": _diffusers, "original": _original}


def write_entries(path: Path, source: Source[Any] | Mapping[str, Entry], adapt: Adapt) -> None:
    """Write tensors to a .safetensors file under other names, and in other shapes of the same bytes.

    adapt: our names (of a Source) or theirs (of entries) -> those of the file. A tensor that has several names of one
    meaning is written once.
    """
    entries = source.entries if isinstance(source, Source) else source
    to_ours: Adapt = source.adapt if isinstance(source, Source) else dict
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    order, end = [], 0
    for name, entry in entries.items():
        if entry.scale is not None:
            raise UserError(
                f"{entry.path} is in scaled fp8, which no other layout has; export the weights in bf16 or fp16."
            )
        if entry.form:
            raise UserError(
                f"{entry.path} is packed ({entry.form}); only weights that are not can be exported."
            )
        shell = torch.empty(entry.shape, dtype=entry.dtype, device="meta")
        for new, tensor in adapt(to_ours({name: shell})).items():
            if new in header:
                continue
            size = entry.stop - entry.start
            assert tensor.numel() == entry.numel, "layouts differ in names and shapes only"
            header[new] = {
                "dtype": NAMES[entry.dtype],
                "shape": list(tensor.shape),
                "data_offsets": [end, end + size],
            }
            order.append(entry)
            end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(text)) + text)
        for entry in order:
            with entry.path.open("rb") as file:
                file.seek(entry.start)
                for left in range(entry.stop - entry.start, 0, -CHUNK):
                    out.write(file.read(min(CHUNK, left)))


def _codec_names(config: CodecConfig, *, original: bool = False) -> Adapt:
    """Our tensors of a codec -> diffusers' or the authors' names, and their common shapes."""
    name_of = wan_codec_original.name_to_original if original else wan_codec.name_to_wan

    def adapt(ours: Tensors) -> dict[str, torch.Tensor]:
        return {name_of(name, config): wan_codec.shape_to_wan(name, tensor) for name, tensor in ours.items()}

    return adapt


def _index(found: Layout, folder: Path) -> dict[str, Any]:
    """model_index.json of what was written to a folder."""
    first: TransformerConfig = found.transformers[0].config
    words = read_json(folder / "text_encoder" / "config.json").get("model_type")
    tokens = read_json(folder / "tokenizer" / "tokenizer_config.json").get("tokenizer_class")
    bert = words == "bert"
    family, apart = _pipeline(found), _apart(found)
    index = INDEX | {
        "_class_name": family,
        "boundary_ratio": found.boundary,
        "expand_timesteps": found.own_times,
        "scheduler": ["diffusers", scheduler_class(found.sampler)],
        "transformer": class_of(first),
        "text_encoder": ["transformers", "BertModel" if bert else "UMT5EncoderModel"],
        "tokenizer": ["transformers", tokens or ("BertTokenizerFast" if bert else "T5TokenizerFast")],
    }
    if apart:
        index["transformer"] = ["diffusers", apart]
        del index["boundary_ratio"], index["transformer_2"]
    if family == "HeliosPyramidPipeline":
        index |= {"is_distilled": True, "is_cfg_zero_star": False}
    if apart or first.control_layers:  # their pipelines do not know this key
        del index["expand_timesteps"]
    if found.boundary is not None:
        index["transformer_2"] = index["transformer"]
    if first.condition_channels:
        none = [None, None]
        index["image_encoder"] = ["transformers", "CLIPVisionModel"] if first.image_dim else none
        index["image_processor"] = ["transformers", "CLIPImageProcessor"] if first.image_dim else none
    return index


def _apart(found: Layout) -> str | None:
    """The class of the transformer of a pipeline that is not Wan's."""
    if found.family.startswith("SkyReelsV2"):
        return "SkyReelsV2Transformer3DModel"
    return next(iter(family_of(found.transformers[0].config).classes), None)


def _pipeline(found: Layout) -> str:
    """The class of diffusers, or of FastVideo, that opens what was written."""
    first = found.transformers[0].config
    if _apart(found):
        return found.family
    if found.times == DMD_TIMES:
        return "WanDMDPipeline"
    if found.family == "WanCausalDMDPipeline":
        return found.family
    if first.control_layers:
        return "WanVACEPipeline"
    return "WanImageToVideoPipeline" if first.condition_channels else "WanPipeline"


def _copy(source: Path, target: Path) -> None:
    """A part as it is, where there is one; pickles stay behind."""
    if source.is_dir():
        pickles = shutil.ignore_patterns(*(f"*{suffix}" for suffix in PICKLES))
        shutil.copytree(source, target, ignore=pickles, dirs_exist_ok=True)
