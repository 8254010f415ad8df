"""The authors' layout against what diffusers makes of it, against their classes' names, and there and back."""

import inspect
import json
import shutil
import warnings
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import sorairo
from sorairo.checkpoints.adapters import (
    clip_original,
    umt5_original,
    wan,
    wan_codec,
    wan_codec_original,
    wan_original,
)
from sorairo.checkpoints.encoders import load_original_vision, load_vision
from sorairo.checkpoints.export import export
from sorairo.checkpoints.families import family_of
from sorairo.checkpoints.folder import open_layout
from sorairo.checkpoints.layouts import codec_names
from sorairo.checkpoints.memory.estimates import KNOWN
from sorairo.checkpoints.original import is_original, original_info
from sorairo.codec.model import Codec
from sorairo.codec.presets import PRESETS as CODECS
from sorairo.generation.generate import generate
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video
from sorairo.transformer.model import Transformer
from sorairo.types import UserError
from tests.checkpoints.test_encoders import vision_folder
from tests.checkpoints.test_wan_pipelines import plan_for
from tests.checkpoints.wan_folders import CLIP, FAMILIES, saved
from tests.transformer.test_image_to_video import FAMILIES as TRANSFORMERS
from tests.transformer.test_image_to_video import I2V


def on_meta(build):
    with torch.device("meta"):
        return build().state_dict()


def shapes(state):
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


# ---- transformers


@pytest.mark.parametrize("family", [*TRANSFORMERS, "words"])
def test_transformers_are_what_diffusers_reads_from_the_original(family):
    from diffusers.loaders.single_file_utils import convert_wan_transformer_to_diffusers

    config = TRANSFORMERS.get(family, replace(I2V, condition_channels=0, image_dim=0))
    ours = Transformer(config).state_dict()
    theirs = wan_original.to_original(ours, config)
    # single files that diffusers reads are of first frames only; the places of two images it leaves as they are named
    converted = convert_wan_transformer_to_diffusers(dict(theirs))
    positions = converted.pop("img_emb.emb_pos", None)
    want = wan.to_wan(ours, config)
    if positions is not None:
        assert torch.equal(positions, want.pop("condition_embedder.image_embedder.pos_embed"))
    assert shapes(converted) == shapes(want)
    assert all(torch.equal(converted[name], want[name]) for name in want)
    prefixed = {f"model.diffusion_model.{name}": tensor for name, tensor in theirs.items()}
    for given in (theirs, prefixed):
        back = wan_original.from_original(given)
        assert back.keys() == ours.keys() and all(torch.equal(back[name], ours[name]) for name in ours)
        values = wan_original.to_original_config(config)
        assert wan_original.from_original_config(values, shapes(given)) == config


@pytest.mark.parametrize("repo", [repo for repo in KNOWN if not repo.startswith(("facebook", "meituan"))])
def test_the_names_at_full_size_are_diffusers(repo):
    import diffusers
    from diffusers import AutoencoderKLWan

    plan = KNOWN[repo]()
    config, codec = plan.configs
    family = family_of(config)
    values = family.to_config(config)
    theirs = on_meta(lambda: getattr(diffusers, values["_class_name"]).from_config(values))
    ours = on_meta(lambda: family.build(config))
    assert shapes(family.to_theirs(ours, config)) == shapes(theirs)
    assert shapes(family.from_theirs(theirs)) == shapes(ours)
    values = {name: value for name, value in wan_codec.config_to_wan(codec).items() if name[0] != "_"}
    theirs = on_meta(lambda: AutoencoderKLWan(**values))
    ours = on_meta(lambda: Codec(codec))
    assert shapes(wan_codec.state_to_wan(ours, codec)) == shapes(theirs)


# ---- codecs: the authors' classes, as far as names and shapes go


class Gamma(nn.Module):
    def __init__(self, width, axes):
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width, *[1] * axes))


def holder(**parts):
    module = nn.Module()
    for name, part in parts.items():
        module.add_module(name, part)
    return module


def residual(before, after):
    return holder(
        residual=nn.Sequential(
            Gamma(before, 3),
            nn.SiLU(),
            nn.Conv3d(before, after, 3),
            Gamma(after, 3),
            nn.SiLU(),
            nn.Dropout(),
            nn.Conv3d(after, after, 3),
        ),
        shortcut=nn.Conv3d(before, after, 1) if before != after else nn.Identity(),
    )


def resample(width, out, time):
    parts = {"resample": nn.Sequential(nn.Identity(), nn.Conv2d(width, out, 3))}
    return holder(**parts, **({"time_conv": nn.Conv3d(width, time, (3, 1, 1))} if time else {}))


def middle(width):
    attention = holder(
        norm=Gamma(width, 2), to_qkv=nn.Conv2d(width, 3 * width, 1), proj=nn.Conv2d(width, width, 1)
    )
    return nn.Sequential(residual(width, width), attention, residual(width, width))


def stages(widths, blocks, halve, row, *, up, nested):
    """Rows of blocks and changes of grid, one after another or one in the other."""
    rows = []
    for i, (before, after) in enumerate(pairwise(widths)):
        if up and i and not nested:
            before //= 2  # 2.1 halves the width where the grid doubles
        parts = [residual(before if j == 0 else after, after) for j in range(blocks)]
        if i < len(widths) - 2:
            out = after // 2 if up and not nested else after
            parts.append(resample(after, out, halve[i] and (2 if up else 1) * after))
        rows.append(parts)
    if nested:
        return nn.Sequential(*(holder(**{row: nn.Sequential(*parts)}) for parts in rows))
    return nn.Sequential(*(part for parts in rows for part in parts))


def coder(first, widths, last, row, **how):
    end = widths[-1]
    wide = widths[0] if how["up"] else end
    return holder(
        conv1=nn.Conv3d(first, widths[0], 3),
        **{row: stages(widths, row=row, **how)},
        middle=middle(wide),
        head=nn.Sequential(Gamma(end, 3), nn.SiLU(), nn.Conv3d(end, last, 3)),
    )


def authors_codec(config):
    pixels, z, blocks = 3 * config.patch_size**2, config.z_dim, config.num_res_blocks
    down, up = config.encoder_widths, config.decoder_widths[::-1]
    halve, nested = config.halve_time, config.shortcut
    return holder(
        encoder=coder(
            pixels,
            (down[0], *down),
            2 * z,
            "downsamples",
            blocks=blocks,
            halve=halve,
            up=False,
            nested=nested,
        ),
        conv1=nn.Conv3d(2 * z, 2 * z, 1),
        conv2=nn.Conv3d(z, z, 1),
        decoder=coder(
            z, (up[0], *up), pixels, "upsamples", blocks=blocks + 1, halve=halve[::-1], up=True, nested=nested
        ),
    )


@pytest.mark.parametrize("name", ["wan2.1", "wan2.2"])
def test_codecs_have_the_authors_names_at_full_size(name):
    config = CODECS[name]
    ours = on_meta(lambda: Codec(config))
    theirs = {
        wan_codec_original.name_to_original(key, config): wan_codec.shape_to_wan(key, tensor)
        for key, tensor in ours.items()
    }
    assert shapes(theirs) == shapes(on_meta(lambda: authors_codec(config)))
    assert wan_codec_original.published_codec(shapes(theirs), "x") == config
    with pytest.raises(UserError, match=r"neither Wan 2\.1's codec nor"):
        wan_codec_original.published_codec({}, "x")


def test_codecs_are_what_diffusers_reads_from_the_original():
    from diffusers import AutoencoderKLWan
    from diffusers.loaders.single_file_utils import convert_wan_vae_to_diffusers

    config = replace(CODECS["wan2.1"], base_dim=4)
    ours = Codec(config).state_dict()
    theirs = {
        wan_codec_original.name_to_original(key, config): wan_codec.shape_to_wan(key, tensor)
        for key, tensor in ours.items()
    }
    want = wan_codec.state_to_wan(ours, config)
    converted = convert_wan_vae_to_diffusers(theirs)
    assert shapes(converted) == shapes(want)
    assert all(torch.equal(converted[name], want[name]) for name in want)
    defaults = inspect.signature(AutoencoderKLWan.__init__).parameters
    for key in ("latents_mean", "latents_std"):
        assert tuple(defaults[key].default) == getattr(CODECS["wan2.1"], key)


# ---- whole folders


def same_tensors(one, other):
    files = sorted(path.relative_to(one) for path in one.rglob("*.safetensors"))
    assert files == sorted(path.relative_to(other) for path in other.rglob("*.safetensors")) and files
    for file in files:
        first, second = load_file(one / file), load_file(other / file)
        assert first.keys() == second.keys()
        assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("name", FAMILIES)
def test_there_and_back_is_exact(name, tmp_path):
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    saved(name, tmp_path / "theirs")
    export(tmp_path / "theirs", tmp_path / "original", "original")
    assert is_original(tmp_path / "original")
    export(tmp_path / "original", tmp_path / "back", "diffusers")
    same_tensors(tmp_path / "theirs", tmp_path / "back")
    models = [sorairo.load(tmp_path / folder, "fp32") for folder in ("theirs", "original", "back")]
    plan = plan_for(models[0], steps=2)
    frames = [generate(plan, model)[0].video.frames for model in models]
    assert np.array_equal(frames[0], frames[1]) and np.array_equal(frames[0], frames[2])
    assert models[0].info == models[1].info == models[2].info and models[1].shift == models[0].shift
    # what their code knows is known here too
    (tmp_path / "original" / "sorairo.json").unlink()
    derived = original_info(tmp_path / "original")
    assert (derived.needs, derived.conditioning) == (models[0].info.needs, models[0].info.conditioning)


def test_our_own_model_goes_there_and_back(tiny_folder, tmp_path):
    export(tiny_folder, tmp_path / "original", "original")
    export(tmp_path / "original", tmp_path / "back", "diffusers")
    same_tensors(tiny_folder, tmp_path / "back")
    first, second = sorairo.load(tiny_folder, "fp32"), sorairo.load(tmp_path / "original", "fp32")
    plan = text_to_video("a red ball", first.abilities, Ask(seed=2))
    one, other = (generate(plan, model)[0].video.frames for model in (first, second))
    assert np.array_equal(one, other)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["back", "original"]


def test_diffusers_opens_what_was_exported(tmp_path):
    import diffusers

    saved("wan2.2-t2v-a14b", tmp_path / "theirs")
    export(tmp_path / "theirs", tmp_path / "original", "original")
    export(tmp_path / "original", tmp_path / "back", "diffusers")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipe = diffusers.WanPipeline.from_pretrained(tmp_path / "back")
    assert pipe.config.boundary_ratio == 0.875 and pipe.transformer_2 is not None
    assert type(pipe.text_encoder).__name__ == "UMT5EncoderModel"


def test_umt5_has_the_authors_names_at_full_size():
    from transformers import UMT5Config, UMT5EncoderModel

    config = UMT5Config(d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64, vocab_size=256384)
    theirs = on_meta(lambda: UMT5EncoderModel(config))
    original = umt5_original.to_original(theirs)
    want = {"token_embedding.weight": (256384, 4096), "norm.weight": (4096,)}
    for i in range(24):
        want |= {f"blocks.{i}.{norm}.weight": (4096,) for norm in ("norm1", "norm2")}
        want |= {f"blocks.{i}.attn.{part}.weight": (4096, 4096) for part in "qkvo"}
        want |= {f"blocks.{i}.ffn.{part}.weight": (10240, 4096) for part in ("gate.0", "fc1")}
        want |= {f"blocks.{i}.ffn.fc2.weight": (4096, 10240)}
        want |= {f"blocks.{i}.pos_embedding.embedding.weight": (32, 64)}
    assert shapes(original) == want
    values = umt5_original.from_original_config(want, "x")
    again = on_meta(lambda: UMT5EncoderModel(UMT5Config(**values)))
    assert shapes(again) == shapes(theirs)
    assert {*umt5_original.from_original(original), "encoder.embed_tokens.weight"} == theirs.keys()
    with pytest.raises(UserError, match="does not hold umT5's encoder"):
        umt5_original.from_original_config({}, "x")


def test_faults_are_named(tmp_path, tiny_folder):
    folder = tmp_path / "m"
    export(tiny_folder, folder, "original")

    def refused(match):
        with pytest.raises(UserError, match=match):
            sorairo.load(folder)

    (folder / "VAE.safetensors").rename(folder / "Wan2.1_VAE.pth")
    refused(r"its codec as a pickle \(Wan2.1_VAE.pth\)")
    (folder / "Wan2.1_VAE.pth").unlink()
    refused(r"its codec \(\*VAE\*.safetensors\) is missing")
    export(tiny_folder, folder, "original")
    weights = folder / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    wrong = {name: tensor for name, tensor in tensors.items() if ".self_attn.k" not in name}
    save_file(wrong | {"stray": torch.zeros(1), "head.head.bias": torch.zeros(3)}, weights)
    refused(
        r"(?s)head.head.bias is 3 in place of 32; missing: .*self_attention.k.*; not of this model: stray"
    )
    save_file({"stray": torch.zeros(1)}, weights)
    refused("are not those of Wan's own WanModel")
    with pytest.raises(UserError, match="no layout 'comfy'; choose diffusers or original"):
        export(tiny_folder, folder, "comfy")
    with pytest.raises(UserError, match="is the model itself"):
        export(tiny_folder, tiny_folder, "original")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear")
    with pytest.raises(UserError, match="something else"):
        export(tiny_folder, tmp_path / "mine", "original")
    assert codec_names(CODECS["tiny"])


def clip_as_the_authors_name_it(tower):
    """A CLIPVisionModel's tensors under the names of wan/modules/clip.py, with something of the text tower."""
    state = {name.removeprefix("vision_model."): tensor for name, tensor in tower.state_dict().items()}
    made = {
        "visual.cls_embedding": state["embeddings.class_embedding"][None, None],
        "visual.pos_embedding": state["embeddings.position_embedding.weight"][None],
        "visual.patch_embedding.weight": state["embeddings.patch_embedding.weight"],
        "visual.head": torch.zeros(2, 2),
        "textual.norm.weight": torch.zeros(2),
        "log_scale": torch.zeros(()),
    }
    names = {"norm1": "layer_norm1", "norm2": "layer_norm2", "attn.proj": "self_attn.out_proj"}
    names |= {"mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2"}
    for leaf in ("weight", "bias"):
        made[f"visual.pre_norm.{leaf}"] = state[f"pre_layrnorm.{leaf}"]
        made[f"visual.post_norm.{leaf}"] = state[f"post_layernorm.{leaf}"]
        for i in range(tower.config.num_hidden_layers):
            here = f"encoder.layers.{i}"
            made |= {
                f"visual.transformer.{i}.{own}.{leaf}": state[f"{here}.{name}.{leaf}"]
                for own, name in names.items()
            }
            parts = [state[f"{here}.self_attn.{part}_proj.{leaf}"] for part in "qkv"]
            made[f"visual.transformer.{i}.attn.to_qkv.{leaf}"] = torch.cat(parts)
    return made


def test_the_clip_by_the_authors_names(tmp_path):
    shape = {"hidden_size": 32, "intermediate_size": 48, "hidden_act": "gelu"}
    model, _ = vision_folder(tmp_path, **CLIP | shape | {"num_attention_heads": clip_original.HEADS})
    path = tmp_path / "models_clip_x.safetensors"
    save_file({name: t.contiguous() for name, t in clip_as_the_authors_name_it(model).items()}, path)
    frames = np.random.default_rng(0).integers(0, 255, (2, 50, 90, 3), dtype=np.uint8)
    cpu = torch.device("cpu")
    want = load_vision(tmp_path, torch.float32, cpu).tokens(frames)
    assert torch.equal(load_original_vision(path, torch.float32, cpu).tokens(frames), want)
    save_file({"visual.stray": torch.zeros(1)}, path)
    with pytest.raises(UserError, match="does not hold the CLIP"):
        load_original_vision(path, torch.float32, cpu)


def test_the_clip_has_every_name_at_full_size():
    from transformers import CLIPVisionConfig, CLIPVisionModel

    shape = {"hidden_size": 1280, "intermediate_size": 5120, "num_attention_heads": 16, "patch_size": 14}
    shape |= {"num_hidden_layers": 32, "image_size": 224, "hidden_act": "gelu"}
    with torch.device("meta"):
        tower = CLIPVisionModel(CLIPVisionConfig(**shape))
        theirs = clip_as_the_authors_name_it(tower)
    kept = {name: tensor for name, tensor in theirs.items() if not clip_original.unused(name)}
    assert len(theirs) - len(kept) == 3
    want = {name.removeprefix("vision_model."): t.shape for name, t in tower.state_dict().items()}
    assert {name: t.shape for name, t in clip_original.from_original(kept).items()} == want
    assert clip_original.from_original_config({n: tuple(t.shape) for n, t in kept.items()}, "x") == shape


def test_a_clip_is_needed_and_goes_along(tmp_path):
    saved("wan2.1-i2v", tmp_path / "theirs")
    export(tmp_path / "theirs", tmp_path / "original", "original")
    shutil.rmtree(tmp_path / "original" / "image_encoder")
    with pytest.raises(UserError, match=r"the CLIP that it sees pictures with \(models_clip\*"):
        open_layout(tmp_path / "original")
    save_file({"log_scale": torch.zeros(())}, tmp_path / "original" / "models_clip_x.safetensors")
    export(tmp_path / "original", tmp_path / "again", "original")
    assert (tmp_path / "again" / "models_clip_x.safetensors").is_file()
    with pytest.raises(UserError, match="beside it"):
        export(tmp_path / "original", tmp_path / "back", "diffusers")


@pytest.mark.parametrize(
    ("kind", "match"),
    [
        ("WanAnimateModel", "Wan 2.2 Animate"),
        ("WanModel_S2V", "Wan 2.2 S2V"),
        ("WanTransformer3DModel", "without the rest of its folder"),
        ("HeliosTransformer3DModel", "Helios without the rest"),
        ("LongCatVideoTransformer3DModel", "LongCat-Video"),
        ("SomethingElseModel", "is of SomethingElseModel, which is not"),
    ],
)
def test_relatives_in_the_authors_layout(kind, match, tmp_path):
    """The reason is what the folder is, and not that it lacks a file of diffusers' layout."""
    (tmp_path / "config.json").write_text(json.dumps({"_class_name": kind, "num_heads": 12}))
    (tmp_path / "Wan2.1_VAE.pth").touch()
    with pytest.raises(UserError, match=match):
        open_layout(tmp_path)
