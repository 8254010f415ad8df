"""Tiny random members of Wan's family, each saved by the diffusers pipeline that its published folder is for."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from tests.conftest import VOCABULARY

SIZE = (96, 64)
FRAMES = 5
CLIP = {"num_hidden_layers": 3, "num_attention_heads": 2, "image_size": 28, "patch_size": 14}  # 5 tokens

# What each family's configuration has that the plain one (Wan 2.1 for words) has not
FAMILIES: dict[str, dict[str, Any]] = {
    "wan2.1-t2v": {},
    "wan2.2-ti2v": {"codec": "2.2", "index": {"expand_timesteps": True}, "pictures": True},
    "wan2.2-t2v-a14b": {"experts": True, "index": {"boundary_ratio": 0.875}},
    "wan2.1-i2v": {"clip": True, "given": True, "pictures": True},
    "wan2.1-flf2v": {"clip": True, "given": True, "pictures": True, "places": 10},
    "wan2.1-vace": {"control": [0, 2]},
    "wan2.2-i2v-a14b": {"experts": True, "given": True, "pictures": True, "index": {"boundary_ratio": 0.9}},
}

# The same of relatives with a pipeline class of their own
RELATIVES: dict[str, dict[str, Any]] = {
    "skyreels-v2": {"pipeline": "SkyReelsV2Pipeline", "skyreels": {}},
    "skyreels-v2-df": {
        "pipeline": "SkyReelsV2DiffusionForcingPipeline",
        "skyreels": {"inject_sample_info": True},
    },
    "helios-distilled": {
        "pipeline": "HeliosPyramidPipeline",
        "helios": {"rope_dim": (8, 4, 4)},
        "index": {"is_distilled": True},
    },
    "helios": {"pipeline": "HeliosPipeline", "helios": {"rope_dim": (8, 4, 4), "is_amplify_history": True}},
    "skyreels-v2-df-14b": {"pipeline": "SkyReelsV2DiffusionForcingPipeline", "skyreels": {}},
}


def tokenizer(path: Path | None = None) -> Any:
    """Pieces of a few words with an end mark, as umT5's tokenizer has them."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces += [(f"▁{word}", -1.0 - i / 10) for i, word in enumerate(VOCABULARY)] + [("▁", -9.0)]
    pieces += [(letter, -12.0) for letter in "abcdefghijklmnopqrstuvwxyz"]
    made = Tokenizer(models.Unigram(pieces, unk_id=2, byte_fallback=False))
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    made.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )


def umt5(**changes: Any) -> Any:
    """A tiny umT5 encoder."""
    from transformers import UMT5Config, UMT5EncoderModel

    shape = {"vocab_size": 96, "d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 4}
    return randomised(UMT5EncoderModel(UMT5Config(**shape | changes)))


def randomised(model: torch.nn.Module, std: float = 0.2) -> Any:
    """Random weights everywhere, so that nothing hides behind a zero; norms stay near one."""
    for name, parameter in model.named_parameters():
        near_one = "norm" in name and not name.endswith("bias")
        torch.nn.init.normal_(parameter, mean=1.0 if near_one else 0.0, std=std)
    return model.eval()


def codec(kind: str) -> Any:
    """A tiny AutoencoderKLWan of the form of Wan 2.1's or of Wan 2.2's."""
    from diffusers import AutoencoderKLWan

    z = 4
    later = {"is_residual": True, "patch_size": 2, "in_channels": 12, "out_channels": 12}
    later |= {"scale_factor_spatial": 16, "decoder_base_dim": 8}
    return AutoencoderKLWan(
        base_dim=8,
        z_dim=z,
        dim_mult=[1, 2, 4, 4],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=torch.randn(z).tolist(),
        latents_std=(0.5 + torch.rand(z)).tolist(),
        **(later if kind == "2.2" else {}),
    ).eval()


def transformer(family: dict[str, Any]) -> Any:
    """A tiny WanTransformer3DModel, or a WanVACETransformer3DModel."""
    from diffusers import (
        HeliosTransformer3DModel,
        SkyReelsV2Transformer3DModel,
        WanTransformer3DModel,
        WanVACETransformer3DModel,
    )

    z, clip = 4, family.get("clip")
    heads, head_dim = family.get("heads", (2, 16))
    kind, control = WanTransformer3DModel, {}
    if "control" in family:
        kind, control = (
            WanVACETransformer3DModel,
            {"vace_in_channels": 2 * z + 64, "vace_layers": family["control"]},
        )
    if "skyreels" in family:
        kind, control = SkyReelsV2Transformer3DModel, family["skyreels"]
    if "helios" in family:
        shape = {"num_attention_heads": heads, "attention_head_dim": head_dim, "ffn_dim": 64, "num_layers": 2}
        shape |= {"in_channels": z, "out_channels": z, "text_dim": 32, "freq_dim": 32}
        return randomised(HeliosTransformer3DModel(**shape, **family["helios"]), 0.1)
    made = kind(
        **control,
        num_attention_heads=heads,
        attention_head_dim=head_dim,
        in_channels=2 * z + 4 if family.get("given") else z,
        out_channels=z,
        text_dim=32,
        freq_dim=32,
        ffn_dim=64,
        num_layers=3 if "control" in family else 2,
        image_dim=24 if clip else None,
        added_kv_proj_dim=heads * head_dim if clip else None,
        pos_embed_seq_len=family.get("places"),
    )
    return randomised(made, 0.1)


def pipeline(name: str) -> Any:
    """The diffusers pipeline of a family, in float32."""
    import diffusers
    from transformers import CLIPVisionConfig, CLIPVisionModel
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    family = (FAMILIES | RELATIVES)[name]
    parts = {
        "tokenizer": tokenizer(),
        "text_encoder": umt5(),
        "vae": codec(family.get("codec", "2.1")),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=3.0
        ),
        "transformer": transformer(family),
    }
    if "helios" in family:
        parts["scheduler"] = diffusers.HeliosScheduler(
            stages=1, stage_range=[0, 1], use_dynamic_shifting=True
        )
    if name == "helios-distilled":
        parts["scheduler"] = diffusers.HeliosDMDScheduler(use_dynamic_shifting=True, gamma=0.33)
    if "pipeline" not in family:
        parts["transformer_2"] = transformer(family) if family.get("experts") else None
    if family.get("clip"):
        shape = CLIPVisionConfig(hidden_size=24, intermediate_size=32, **CLIP)
        parts["image_encoder"] = randomised(CLIPVisionModel(shape))
        parts["image_processor"] = CLIPImageProcessorPil(
            size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
        )
    kind = diffusers.WanImageToVideoPipeline if family.get("pictures") else diffusers.WanPipeline
    kind = diffusers.WanVACEPipeline if "control" in family else kind
    kind = getattr(diffusers, family["pipeline"]) if "pipeline" in family else kind
    made = kind(**parts, **family.get("index", {}))
    made.set_progress_bar_config(disable=True)
    return made


def longcat_folder(folder: Path) -> None:
    """A LongCat-Video as its authors publish it: dit/ in place of transformer/, and no index."""
    import json

    import diffusers
    from safetensors.torch import save_file

    from tests.checkpoints import longcat_golden as golden

    values = golden.SHAPE | {"_class_name": "LongCatVideoTransformer3DModel", "text_tokens_zero_pad": True}
    values |= {"patch_size": [1, 2, 2], "enable_flashattn2": True, "cp_split_hw": None}
    values |= {"bsa_params": {"sparsity": 0.9375, "chunk_3d_shape_q": [4, 4, 4]}}
    (folder / "dit").mkdir(parents=True)
    (folder / "dit" / "config.json").write_text(json.dumps(values))
    save_file(golden.weights(golden.shapes()), folder / "dit" / "diffusion_pytorch_model.safetensors")
    torch.manual_seed(0)
    codec("2.1").save_pretrained(folder / "vae")
    umt5().save_pretrained(folder / "text_encoder")
    tokenizer().save_pretrained(folder / "tokenizer")
    diffusers.FlowMatchEulerDiscreteScheduler(shift=golden.SHIFT).save_pretrained(folder / "scheduler")


def saved(name: str, folder: Path, **how: Any) -> Any:
    """Write a family's folder as diffusers does, and beside it the sizes that tests ask for; returns the pipeline, None
    for a family that diffusers does not know."""
    from sorairo.checkpoints.layouts import info_of
    from sorairo.config import to_json

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name == "longcat":
            made = longcat_folder(folder)
        else:
            made = pipeline(name)
            made.save_pretrained(folder, **how)
    small = replace(info_of(folder), sizes=(SIZE,), max_frames=17, default_frames=FRAMES, default_steps=8)
    to_json(small, folder / "sorairo.json")
    return made
