"""Single files as ComfyUI, Kijai and LightX2V publish them, made of a tiny folder that diffusers saved."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sorairo.checkpoints.adapters import umt5_original, wan, wan_codec, wan_codec_original, wan_original
from sorairo.checkpoints.layouts import codec_names

FP8 = torch.float8_e4m3fn
Tensors = dict[str, torch.Tensor]
WEIGHTS = "diffusion_pytorch_model.safetensors"


def quantised(
    tensors: Tensors, spelling: str, prefix: str = "", rows: bool = False
) -> tuple[Tensors, Tensors]:
    """(the file's tensors in scaled fp8, what they stand for). spelling: "scale_weight" or "comfy_quant"."""
    made: Tensors = {}
    meant: Tensors = {}
    for name, tensor in tensors.items():
        linear = tensor.ndim == 2 and name.endswith(".weight") and ("blocks." in name or "block." in name)
        if not linear or "relative_attention_bias" in name or "pos_embedding" in name:
            made[prefix + name] = meant[name] = tensor.clone()
            continue
        scale = tensor.abs().amax(1, keepdim=True) / 448 if rows else tensor.abs().max() / 448
        small = (tensor / scale).to(FP8)
        made[prefix + name], meant[name] = small, small.float() * scale
        stem = prefix + name.removesuffix("weight")
        if spelling == "scale_weight":
            made |= {f"{stem}scale_weight": scale, f"{stem}scale_input": torch.ones(())}
        else:
            note = torch.tensor(list(json.dumps({"format": "float8_e4m3fn"}).encode()), dtype=torch.uint8)
            made |= {f"{stem}weight_scale": scale, f"{stem}comfy_quant": note}
    if spelling == "scale_weight":
        made[f"{prefix}scaled_fp8"] = torch.empty(2, dtype=FP8)
    return made, meant


def authors_transformer(folder: Path, config) -> Tensors:
    """A transformer/ folder's tensors by the names of Wan's authors."""
    return wan_original.to_original(wan.from_wan(load_file(folder / WEIGHTS)), config)


def put_back(folder: Path, tensors: Tensors, config) -> None:
    """Write what the authors' tensors stand for into a transformer/ folder."""
    save_file(
        {n: t.contiguous() for n, t in wan.to_wan(wan_original.from_original(tensors), config).items()},
        folder / WEIGHTS,
    )


def write_codec(vae: Path, target: Path, config) -> None:
    """vae/ as wan_2.1_vae.safetensors. A tiny codec is no published one, so its shape stands beside it."""
    names = {wan_codec.name_to_wan(name, config): name for name in codec_names(config)}
    tensors = load_file(vae / WEIGHTS)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({wan_codec_original.name_to_original(names[n], config): t for n, t in tensors.items()}, target)
    own = {"shift": 3.0, "codec": wan_codec.config_to_wan(config)}
    target.with_name("constants.json").write_text(json.dumps(own))


def write_text(text: Path, target: Path, pieces: bytes, spelling: str | None = None) -> Tensors:
    """text_encoder/ as umt5_xxl_*.safetensors; returns what its tensors stand for."""
    tensors = {n: t for n, t in load_file(text / "model.safetensors").items() if "embed_tokens" not in n}
    made, meant = quantised(tensors, spelling) if spelling else (dict(tensors), tensors)
    made["spiece_model"] = torch.frombuffer(bytearray(pieces), dtype=torch.uint8)
    target.parent.mkdir(parents=True, exist_ok=True)
    save_file({n: t.contiguous() for n, t in made.items()}, target)
    return meant


def authors_text(text: Path) -> Tensors:
    """text_encoder/ as Kijai's umt5-xxl-enc-bf16.safetensors."""
    return umt5_original.to_original(load_file(text / "model.safetensors"))
