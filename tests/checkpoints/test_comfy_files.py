"""Single files load equal to the folder that they were made of, or are refused by the name of what they are."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from sorairo.checkpoints.adapters import clip_original
from sorairo.checkpoints.beside import Beside, files_of, is_files
from sorairo.checkpoints.folder import load_checkpoint, open_layout, open_model
from sorairo.checkpoints.headers import read_entry
from sorairo.checkpoints.memory.planner import plan_for
from sorairo.checkpoints.recognise import parts_of
from sorairo.types import UserError
from tests.checkpoints import wan_folders
from tests.checkpoints.comfy_files import (
    WEIGHTS,
    authors_text,
    authors_transformer,
    put_back,
    quantised,
    write_codec,
    write_text,
)
from tests.checkpoints.test_encoders import pieces

HIGH, LOW = "wan2.2_t2v_high_noise_14B_fp8_scaled", "wan2.2_t2v_low_noise_14B_fp8_scaled"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(diffusers' folder, ComfyUI's models/ with the same weights in scaled fp8)."""
    return comfy_set(tmp_path_factory.mktemp("comfy"), "wan2.2-t2v-a14b", HIGH, LOW)


def comfy_set(root, family, high, low):
    """(diffusers' folder of a family of two transformers, ComfyUI's models/ with the same weights in scaled fp8)."""
    folder, models = root / "diffusers", root / "models"
    wan_folders.FAMILIES["wide"] = wan_folders.FAMILIES[family] | {"heads": (1, 128)}
    try:
        wan_folders.saved("wide", folder)
    finally:
        del wan_folders.FAMILIES["wide"]
    layout = open_layout(folder)
    config = layout.transformers[0].config
    home = models / "diffusion_models"
    home.mkdir(parents=True)
    for part, name, spelling, rows in (
        ("transformer", high, "scale_weight", False),
        ("transformer_2", low, "comfy_quant", True),
    ):
        tensors = authors_transformer(folder / part, config)
        prefix = "model.diffusion_model." if part == "transformer" else "diffusion_model."
        small, meant = quantised(tensors, spelling, prefix, rows)
        save_file({n: t.contiguous() for n, t in small.items()}, home / f"{name}.safetensors")
        put_back(folder / part, meant, config)
    write_codec(folder / "vae", models / "vae" / "wan_2.1_vae.safetensors", layout.codec.config)
    words = root / "spiece.model"
    pieces(words)
    target = models / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors"
    meant = write_text(folder / "text_encoder", target, words.read_bytes(), "scale_weight")
    save_file(meant, folder / "text_encoder" / "model.safetensors")
    return folder, models


def same(one, other):
    """Whether two modules hold the same numbers."""
    theirs = other.state_dict()
    return all(torch.equal(tensor, theirs[name]) for name, tensor in one.state_dict().items())


@pytest.mark.parametrize("way", ["file", "pair", "folder", "named"])
def test_comfyui_scaled_fp8_loads_equal(made, way):
    folder, models = made
    home = models / "diffusion_models"
    pair = f"low={home / LOW}.safetensors,high={home / HIGH}.safetensors"
    model = {"file": home / f"{LOW}.safetensors", "pair": pair, "folder": models, "named": pair}[way]
    beside = None
    if way == "named":
        beside = Beside(
            vae=models / "vae" / "wan_2.1_vae.safetensors",
            text_encoder=models / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
        )
    got, want = load_checkpoint(model, "fp32", beside=beside), load_checkpoint(folder, "fp32")
    for which in ("high", "low"):
        assert same(got.transformer.at(which), want.transformer.at(which))
    assert got.transformer.boundary == 0.875 and got.shift == 12.0
    assert same(got.codec, want.codec)
    words = "a red ball drops"
    assert got.text.tokens(words) == want.text.tokens(words)
    assert torch.allclose(got.text.encode([words]).states, want.text.encode([words]).states)
    assert len(got.notes) == (0 if way == "named" else 2)
    assert got.info.name == "wan2.2_t2v_14B_fp8_scaled"


def test_the_command_line_and_the_memory_plan_take_them(made, tmp_path):
    from typer.testing import CliRunner

    from sorairo.cli.main import app

    _, models = made
    options = ["--model", str(models), "--size", "64x48", "--frames", "5", "--steps", "2", "--seed", "1"]
    done = CliRunner().invoke(
        app,
        [
            "generate",
            "a red ball",
            *options,
            "--memory",
            "4GB",
            "--dtype",
            "fp32",
            "-o",
            str(tmp_path / "o.mp4"),
        ],
    )
    assert done.exit_code == 0, (done.output, done.exception)
    assert "The codec (VAE) is" in done.stderr and "not trained for 64x48" in done.stderr
    told = CliRunner().invoke(app, ["models", "info", str(models), "--size", "64x48", "--json"])
    assert told.exit_code == 0, (told.output, told.exception)
    facts = json.loads(told.stdout)
    assert [part["name"] for part in facts["parts"]] == [
        "text_encoder",
        "transformer",
        "transformer_2",
        "vae",
    ]
    assert len(facts["notes"]) == 2
    assert "all weights stay in memory" in str(plan_for("4GB", models, torch.float32, (64, 48), 5))


def test_other_forms_of_the_parts_load_equal(made, tmp_path):
    """bf16 by diffusers' names, umT5 by the authors' with a tokenizer beside it, the codec by diffusers' names."""
    folder, _ = made
    shutil.copy(folder / "transformer" / WEIGHTS, tmp_path / "one.safetensors")
    shutil.copy(folder / "vae" / WEIGHTS, tmp_path / "vae.safetensors")
    (tmp_path / "constants.json").write_text(
        json.dumps({"shift": 3.0, "codec": json.loads((folder / "vae" / "config.json").read_text())})
    )
    save_file(authors_text(folder / "text_encoder"), tmp_path / "umt5-xxl-enc-bf16.safetensors")
    with pytest.raises(UserError, match=r"no tokenizer.*tokenizer\.json of google/umt5-xxl"):
        open_model(tmp_path / "one.safetensors")
    shutil.copytree(folder / "tokenizer", tmp_path / "tokenizer")
    got, want = load_checkpoint(tmp_path / "one.safetensors", "fp32"), load_checkpoint(folder, "fp32")
    assert same(got.transformer, want.transformer.at("high")) and same(got.codec, want.codec)
    assert torch.allclose(got.text.encode(["a ball"]).states, want.text.encode(["a ball"]).states)
    other = load_checkpoint(folder, "fp32", beside=Beside(vae=tmp_path / "vae.safetensors"))
    assert same(other.codec, want.codec)
    with pytest.raises(UserError, match=r"--vae .* is no codec"):
        load_checkpoint(folder, beside=Beside(vae=tmp_path / "one.safetensors"))


def test_a_whole_model_in_one_file(made, tmp_path):
    folder, models = made
    whole = {
        f"model.diffusion_model.{n}": t
        for n, t in authors_transformer(
            folder / "transformer", open_layout(folder).transformers[0].config
        ).items()
    }
    whole |= {f"vae.{n}": t for n, t in load_file(models / "vae" / "wan_2.1_vae.safetensors").items()}
    words = load_file(models / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
    words.pop("scaled_fp8")
    whole |= {f"text_encoders.umt5xxl.transformer.{n}": t for n, t in words.items()}
    save_file({n: t.contiguous() for n, t in whole.items()}, tmp_path / "all.safetensors")
    shutil.copy(models / "vae" / "constants.json", tmp_path)
    got, want = load_checkpoint(tmp_path / "all.safetensors", "fp32"), load_checkpoint(folder, "fp32")
    assert same(got.transformer, want.transformer.at("high")) and same(got.codec, want.codec)
    assert got.notes == ()


@pytest.mark.parametrize("names", ["authors", "bare", "transformers"])
def test_the_clip_by_each_of_its_names(names, tmp_path, monkeypatch):
    from transformers import CLIPVisionConfig, CLIPVisionModel

    from sorairo.checkpoints.encoders import load_file_vision

    monkeypatch.setattr(clip_original, "HEADS", 2)
    shape = CLIPVisionConfig(hidden_size=24, intermediate_size=32, **wan_folders.CLIP)
    tower = wan_folders.randomised(CLIPVisionModel(shape))
    state = {f"vision_model.{n.removeprefix('vision_model.')}": t for n, t in tower.state_dict().items()}
    state = {n: t for n, t in state.items() if "position_ids" not in n}
    if names != "transformers":
        back = [(theirs, mine) for mine, theirs in clip_original.NAMES]
        prefix = "visual." if names == "authors" else ""
        made = {}
        for name, tensor in state.items():
            plain = name.removeprefix("vision_model.")
            if ".q_proj." in plain:
                key = plain.replace(".q_proj.", ".qkv.")
                parts = [state[name.replace(".q_proj.", f".{p}_proj.")] for p in "qkv"]
                made[clip_original.rename(key, back)] = torch.cat(parts)
            elif ".k_proj." not in plain and ".v_proj." not in plain:
                made[clip_original.rename(plain, back)] = tensor
        made["visual.cls_embedding"] = made["visual.cls_embedding"].view(1, 1, -1)
        made["visual.pos_embedding"] = made["visual.pos_embedding"][None]
        state = {prefix + n.removeprefix("visual."): t for n, t in made.items()}
    save_file({n: t.contiguous() for n, t in state.items()}, tmp_path / "clip_vision_h.safetensors")
    (part,) = parts_of(tmp_path / "clip_vision_h.safetensors")
    assert part.role == "vision"
    got = load_file_vision(part, torch.float32, torch.device("cpu")).load()
    ours = {n.removeprefix("vision_model."): t for n, t in got.state_dict().items()}
    for name, tensor in tower.state_dict().items():
        if "position_ids" not in name:
            assert torch.equal(ours[name.removeprefix("vision_model.")], tensor), name


def test_a_clip_of_another_width_is_named():
    """It was an error of transformers'."""
    shapes = {
        "visual.patch_embedding.weight": (24, 3, 14, 14),
        "visual.pos_embedding": (1, 5, 24),
        "visual.transformer.0.mlp.0.weight": (32, 24),
    }
    with pytest.raises(UserError, match="a width of 24 for 16 heads"):
        clip_original.from_original_config(shapes, "clip.safetensors")


REFUSED = {
    "mxfp8": ("quantised as 'mxfp8'", lambda t: note(t, "mxfp8")),
    "nvfp4": ("quantised as 'nvfp4'", lambda t: note(t, "nvfp4")),
    "block scales": ("MX fp8", lambda t: scales(t, torch.ones(128, 4).to(torch.float8_e8m0fnu))),
    "a lost scale": ("scale of blocks.0.self_attn.q.weight is missing", lambda t: scales(t, None)),
    "a scale without its weight": ("which is missing", lambda t: gone(t)),
    "vace alone": (
        "VACE's branch alone",
        lambda t: {
            "vace_patch_embedding.weight": torch.zeros(2, 2),
            "vace_blocks.0.before_proj.weight": torch.zeros(2, 2),
        },
    ),
    "helios": (
        "Helios",
        lambda t: {"patch_short.weight": torch.zeros(2), "blocks.0.attn1.to_q.weight": torch.zeros(2)},
    ),
    "multitalk": ("MultiTalk", lambda t: t | {"audio_proj.norm.weight": torch.zeros(2)}),
    "recammaster": ("ReCamMaster", lambda t: t | {"blocks.0.cam_encoder.weight": torch.zeros(2)}),
    "fantasytalking": ("FantasyTalking", lambda t: t | {"proj_model.proj.weight": torch.zeros(2)}),
    "sparse": (
        "sparse attention",
        lambda t: t | {"blocks.0.self_attn.to_gate_compress.weight": torch.zeros(2)},
    ),
    "longcat": ("LongCat-Video", lambda t: {"blocks.0.pre_crs_attn_norm.weight": torch.zeros(2)}),
    "dit": ("a DiT", lambda t: {"x_embedder.proj.weight": torch.zeros(2)}),
    "ltx": ("LTX-Video", lambda t: {"transformer_blocks.0.attn1.to_q.weight": torch.zeros(2)}),
    "animate": (
        "Wan 2.2 Animate",
        lambda t: t | {"face_adapter.fuser_blocks.0.k_norm.weight": torch.zeros(2)},
    ),
    "s2v": (
        "Wan 2.2 S2V",
        lambda t: t | {"casual_audio_encoder.encoder.final_linear.weight": torch.zeros(2)},
    ),
    "humo": ("HuMo", lambda t: t | {"audio_proj.audio_proj_glob_1.layer.bias": torch.zeros(2)}),
    "camera": ("Fun Camera", lambda t: t | {"control_adapter.conv.weight": torch.zeros(2)}),
    "fun control": ("Fun Control", lambda t: t | {"ref_conv.weight": torch.zeros(2)}),
    "columns": ("blocks or columns", lambda t: scales(t, torch.ones(1, 128))),
    "musubi's blocks": ("blocks or columns", lambda t: scales(t, torch.ones(128, 4, 1))),
    "block scales by another name": (
        "fp8 with scales for blocks",
        lambda t: t | {"blocks.0.self_attn.q.weight_scale_inv": torch.ones(1)},
    ),
    "nvfp4 without a note": ("nvfp4", lambda t: t | {"blocks.0.self_attn.q.weight_scale_2": torch.ones(1)}),
    "nf4": ("bitsandbytes", lambda t: t | {"blocks.0.self_attn.q.weight.absmax": torch.ones(1)}),
    "nunchaku": ("Nunchaku", lambda t: {"blocks.0.self_attn.q.qweight": torch.ones(1)}),
    "a scale of its own": (
        "spelling of its own",
        lambda t: t | {"blocks.0.self_attn.q.scale": torch.ones(1)},
    ),
    "a LoRA": (
        "is a LoRA.*--lora",
        lambda t: {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.ones(1)},
    ),
    "t5": ("is a T5", lambda t: t5()),
    "flux": ("HunyuanVideo or Flux", lambda t: {"double_blocks.0.img_attn.qkv.weight": torch.zeros(2)}),
    "nothing": ("is no file of a Wan model", lambda t: {"x": torch.zeros(2)}),
}


NOT_WEIGHTS = {
    "a pickle": (lambda path: torch.save({"x": torch.zeros(2)}, path), "a pickle, whatever its name says"),
    "an old pickle": (
        lambda path: torch.save({"x": torch.zeros(2)}, path, _use_new_zipfile_serialization=False),
        "a pickle, whatever its name says",
    ),
    "a pointer": (
        lambda path: path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "a pointer of Git LFS",
    ),
    "a page": (lambda path: path.write_text("\n<!DOCTYPE html>\n<html>Not found</html>"), "a web page"),
    "a configuration": (lambda path: path.write_text('{"_class_name": "WanModel"}'), "is JSON, such as"),
    "nothing": (lambda path: path.write_bytes(b""), "damaged or cut short"),
}


@pytest.mark.parametrize("case", NOT_WEIGHTS)
def test_what_is_no_file_of_weights_is_named(case, tmp_path):
    """Each was "damaged or cut short" before, which makes people download it again."""
    write, match = NOT_WEIGHTS[case]
    write(tmp_path / "file.safetensors")
    with pytest.raises(UserError, match=match):
        parts_of(tmp_path / "file.safetensors")


def test_one_of_several_files_says_so(tmp_path):
    path = tmp_path / "diffusion_pytorch_model-00002-of-00007.safetensors"
    save_file({"blocks.9.self_attn.q.weight": torch.zeros(2, 2)}, path)
    with pytest.raises(UserError, match="one of 7 files"):
        parts_of(path)


def test_a_scale_of_zero_is_refused(made, tmp_path):
    _, models = made
    tensors = load_file(models / "diffusion_models" / f"{HIGH}.safetensors")
    tensors["model.diffusion_model.blocks.0.self_attn.q.scale_weight"] = torch.zeros(())
    save_file(tensors, tmp_path / "wan.safetensors")
    beside = Beside(
        vae=models / "vae" / "wan_2.1_vae.safetensors",
        text_encoder=models / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors",
    )
    with pytest.raises(UserError, match="scales of zero"):
        load_checkpoint(tmp_path / "wan.safetensors", "fp32", beside=beside)


def note(tensors, kind):
    text = torch.tensor(list(json.dumps({"format": kind}).encode()), dtype=torch.uint8)
    return tensors | {"blocks.0.self_attn.q.comfy_quant": text}


def scales(tensors, scale):
    small = {
        n: t.to(torch.float8_e4m3fn) if n == "blocks.0.self_attn.q.weight" else t for n, t in tensors.items()
    }
    small["scaled_fp8"] = torch.empty(0, dtype=torch.float8_e4m3fn)
    return small if scale is None else small | {"blocks.0.self_attn.q.weight_scale": scale}


def gone(tensors):
    return tensors | {"blocks.9.self_attn.q.scale_weight": torch.ones(())}


def t5():
    names = ["shared", "encoder.final_layer_norm"]
    names += [f"encoder.block.{i}.layer.0.SelfAttention.q" for i in range(2)]
    return {f"{name}.weight": torch.zeros(2, 2) for name in names}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_not_read_is_refused_by_its_name(case, tmp_path):
    match, change = REFUSED[case]
    plain = {
        "patch_embedding.weight": torch.zeros(128, 4, 1, 2, 2),
        "blocks.0.self_attn.q.weight": torch.zeros(128, 128),
        "head.modulation": torch.zeros(1, 2, 128),
    }
    path = tmp_path / "file.safetensors"
    save_file(change(plain), path)
    with pytest.raises(UserError, match=match):
        parts_of(path)


def plain_transformer(fill=0.0):
    names = ("patch_embedding.weight", "blocks.0.self_attn.q.weight", "head.modulation")
    return {name: torch.full((2, 2), fill) for name in names}


COPIES = {
    "a mean over training": ("generator.model.", "generator_ema.model."),
    "a mean beside a bare model": ("", "ema."),
    "a mean in one word": ("model.", "model_ema."),
}


@pytest.mark.parametrize("case", COPIES)
def test_of_two_copies_the_mean_over_training_is_taken(case, tmp_path):
    """As Self-Forcing's own code does; it was the shorter name before, which are other weights."""
    first, mean = COPIES[case]
    tensors = {first + n: t for n, t in plain_transformer().items()}
    tensors |= {mean + n: t for n, t in plain_transformer(1.0).items()}
    save_file(tensors, tmp_path / "w.safetensors")
    (part,) = parts_of(tmp_path / "w.safetensors")
    assert float(read_entry(part.entries["head.modulation"]).mean()) == 1.0
    assert sorted(part.entries) == sorted(plain_transformer())
    assert f"{mean} is taken" in part.note


def test_what_trainers_put_beside_the_weights_is_left_out(tmp_path):
    beside = ("optimizer.state.0.exp_avg", "global_step", "epoch", "freqs", "lr_scheduler.last_epoch")
    vae = ("encoder.conv1.weight", "decoder.conv1.weight", "conv2.weight")
    tensors = plain_transformer() | {name: torch.zeros(2) for name in beside}
    tensors |= {f"vae.{name}": torch.zeros(2, 2) for name in vae}
    save_file(tensors, tmp_path / "w.safetensors")
    parts = {part.role: part for part in parts_of(tmp_path / "w.safetensors")}
    assert sorted(parts["transformer"].entries) == sorted(plain_transformer())
    assert sorted(parts["codec"].entries) == sorted(vae)
    save_file(tensors | {"stranger": torch.zeros(2)}, tmp_path / "w.safetensors")
    assert "stranger" in parts_of(tmp_path / "w.safetensors")[0].entries  # a model of another kind, perhaps


def test_umt5_with_its_table_under_the_second_name_and_its_other_half(tmp_path):
    names = [f"encoder.block.{i}.layer.0.SelfAttention.q" for i in range(2)]
    names += ["encoder.block.1.layer.0.SelfAttention.relative_attention_bias", "encoder.final_layer_norm"]
    tensors = {f"{name}.weight": torch.zeros(2, 2) for name in [*names, "encoder.embed_tokens"]}
    unused = {"decoder.final_layer_norm.weight": torch.zeros(2), "lm_head.weight": torch.zeros(2, 2)}
    unused["logit_scale"] = torch.ones(())  # ComfyUI's, which saves it with every encoder
    save_file(tensors | unused, tmp_path / "t.safetensors")
    (part,) = parts_of(tmp_path / "t.safetensors")
    assert part.role == "text" and sorted(part.entries) == sorted(
        [f"{n}.weight" for n in names] + ["shared.weight"]
    )


def test_names_in_upper_case(made, tmp_path):
    _, models = made
    for path, name in (
        (models / "vae" / "wan_2.1_vae.safetensors", "VAE.SAFETENSORS"),
        (models / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors", "UMT5.SafeTensors"),
        (models / "diffusion_models" / f"{HIGH}.safetensors", "WAN.SAFETENSORS"),
        (models / "vae" / "constants.json", "constants.json"),
    ):
        shutil.copy(path, tmp_path / name)
    layout = open_model(tmp_path)
    assert (
        layout.codec.where.name == "VAE.SAFETENSORS"
        and layout.transformers[0].where.name == "WAN.SAFETENSORS"
    )
    (tmp_path / "WAN.SAFETENSORS").rename(tmp_path / "X.PTH")
    with pytest.raises(UserError, match="is a pickle"):
        parts_of(tmp_path / "X.PTH")


def test_what_is_missing_is_named_with_where_it_is_found(made, tmp_path):
    _, models = made
    alone = tmp_path / f"{HIGH}.safetensors"
    shutil.copy(models / "diffusion_models" / f"{HIGH}.safetensors", alone)
    with pytest.raises(UserError, match=r"one of two transformers.*high=FILE,low=FILE"):
        open_model(alone)
    one = alone.rename(tmp_path / "wan.safetensors")
    with pytest.raises(UserError, match=r"--vae FILE \(wan_2\.1_vae.*--text-encoder FILE \(umt5_xxl_fp16"):
        open_model(one)
    with pytest.raises(UserError, match=r"is no transformer but Wan's codec \(VAE\)"):
        open_model(models / "vae" / "wan_2.1_vae.safetensors")
    with pytest.raises(UserError, match="no file"):
        files_of("high=a,low=b")
    assert not is_files("default") and is_files("high=a,low=b") and is_files(models)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("wan2.2_i2v_high_noise_14B_fp8_scaled", "wan2.2_i2v_low_noise_14B_fp8_scaled"),
        ("Wan2_2-I2V-A14B-HIGH_fp8_e4m3fn_scaled_KJ", "Wan2_2-I2V-A14B-LOW_fp8_e4m3fn_scaled_KJ"),
        ("Wan2.2-HighNoise-flow", "Wan2.2-LowNoise-flow"),
        ("wan_flow_slow_highres", None),
    ],
)
def test_the_other_of_two_is_found_by_its_name(name, twin, tmp_path):
    here = tmp_path / f"{name}.safetensors"
    here.touch()
    if twin is None:
        assert files_of(here).paths == (here,)
        return
    with pytest.raises(UserError, match="one of two transformers"):
        files_of(here)
    there = tmp_path / f"{twin}.safetensors"
    there.touch()
    assert files_of(here).paths == files_of(there).paths == (here, there)


@pytest.mark.parametrize("names", ["authors", "diffusers"])
def test_vace_in_a_single_file(tmp_path, names):
    got, want = from_a_file(tmp_path, "wan2.1-vace", names)
    assert same(got.transformer, want.transformer)
    assert got.transformer.config == want.transformer.config and got.info.conditioning == ("control",)


def test_skyreels_in_a_single_file(tmp_path):
    got, want = from_a_file(tmp_path, "skyreels-v2-df", "authors")
    assert same(got.transformer, want.transformer)
    assert (got.info.conditioning, got.info.fps, got.shift) == (("levels",), 24.0, 8.0)


def test_the_codec_of_wan_22_in_a_single_file(tmp_path):
    got, want = from_a_file(tmp_path, "wan2.2-ti2v", "authors")
    assert same(got.codec, want.codec) and got.codec.config.space_factor == 16
    assert same(got.transformer, want.transformer)


def from_a_file(root, family, names):
    """(the model of a single file beside its other parts, that of diffusers' folder)."""
    kinds = wan_folders.FAMILIES | wan_folders.RELATIVES
    wan_folders.FAMILIES["wide"] = kinds[family] | {"heads": (1, 128)}
    if "control" in kinds[family]:
        wan_folders.FAMILIES["wide"] |= {
            "control": [0, 1, 2]
        }  # evenly spread, as a file cannot say otherwise
    try:
        wan_folders.saved("wide", root / "m")
    finally:
        del wan_folders.FAMILIES["wide"]
    layout = open_layout(root / "m")
    tensors = load_file(root / "m" / "transformer" / WEIGHTS)
    if names == "authors":
        tensors = authors_transformer(root / "m" / "transformer", layout.transformers[0].config)
    save_file({n: t.contiguous() for n, t in tensors.items()}, root / "model.safetensors")
    write_codec(root / "m" / "vae", root / "vae.safetensors", layout.codec.config)
    pieces(root / "spiece.model")
    write_text(root / "m" / "text_encoder", root / "umt5.safetensors", (root / "spiece.model").read_bytes())
    beside = Beside(vae=root / "vae.safetensors", text_encoder=root / "umt5.safetensors")
    return load_checkpoint(root / "model.safetensors", "fp32", beside=beside), load_checkpoint(
        root / "m", "fp32"
    )


@pytest.mark.parametrize(
    ("name", "chunk", "reach", "first", "steps"),
    [
        ("self_forcing_dmd", 3, 0, 1000.0, 4),
        ("Wan2.1-T2V-1.3B-Self-Forcing-bf16", 3, 0, 1000.0, 4),
        ("longlive_base", 3, 9, 1000.0, 4),
        ("wan_causvid_t2v_1.3b", 3, 0, 1000.0, 3),
        ("rCM_Wan2.1_T2V_1.3B_480p", 0, 0, 987.654, 4),
        ("Wan21_CausVid_bidirect2_T2V", 0, 0, None, 50),
        ("wan2.1_t2v_lightx2v_self_forcing", 0, 0, None, 50),
        ("marcmodel", 0, 0, None, 50),
    ],
)
def test_models_of_few_steps_are_known_by_their_names(name, chunk, reach, first, steps):
    from sorairo.checkpoints.published import published_info
    from sorairo.codec.presets import PRESETS as CODECS
    from sorairo.transformer.presets import PRESETS

    info = published_info(name, None, PRESETS["wan-1.3b"], CODECS["wan2.1"], experts=False, own_times=False)
    assert (info.chunk, info.reach, info.default_steps) == (chunk, reach, steps)
    assert (info.times[0] if info.times else None) == first
    if first:
        assert info.default_guidance == 1.0 and list(info.times) == sorted(info.times, reverse=True)


def test_folders_of_self_forcing(tmp_path):
    """FastVideo's pipeline class, and the authors' class of the transformer."""
    from sorairo.checkpoints.export import export
    from sorairo.checkpoints.layouts import info_of

    wan_folders.saved("wan2.1-t2v", tmp_path / "m")
    (tmp_path / "m" / "sorairo.json").unlink()
    index = json.loads((tmp_path / "m" / "model_index.json").read_text())
    index |= {
        "_class_name": "WanCausalDMDPipeline",
        "transformer": ["diffusers", "CausalWanTransformer3DModel"],
        "scheduler": ["diffusers", "SelfForcingFlowMatchScheduler"],
    }
    (tmp_path / "m" / "model_index.json").write_text(json.dumps(index))
    scheduler = {"_class_name": "SelfForcingFlowMatchScheduler", "num_train_timesteps": 1000, "shift": 5.0}
    (tmp_path / "m" / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    info = info_of(tmp_path / "m")
    assert (info.chunk, len(info.times), info.default_steps, info.default_guidance) == (3, 4, 4, 1.0)
    got = load_checkpoint(tmp_path / "m", "fp32")
    assert got.times == info.times and got.info.chunk == 3
    export(tmp_path / "m", tmp_path / "authors", "original")
    where = tmp_path / "authors" / "config.json"
    where.write_text(json.dumps(json.loads(where.read_text()) | {"_class_name": "CausalWanModel"}))
    (tmp_path / "authors" / "sorairo.json").unlink()
    constants = json.loads((tmp_path / "authors" / "constants.json").read_text())
    (tmp_path / "authors" / "constants.json").write_text(json.dumps(constants | {"times": [], "family": ""}))
    again = load_checkpoint(tmp_path / "authors", "fp32")
    assert same(again.transformer, got.transformer)
    assert (again.info.chunk, again.times) == (3, got.times)
    export(tmp_path / "m", tmp_path / "again", "diffusers")
    assert load_checkpoint(tmp_path / "again", "fp32").info == info


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"])
def test_what_compilers_and_trainers_put_inside_names_is_no_part_of_them(wrapper, tmp_path):
    tensors = {n.replace("blocks.0.", f"blocks.0.{wrapper}."): t for n, t in plain_transformer().items()}
    save_file({f"{wrapper}.{n}": t for n, t in tensors.items()}, tmp_path / "w.safetensors")
    (part,) = parts_of(tmp_path / "w.safetensors")
    assert sorted(part.entries) == sorted(plain_transformer())


@pytest.mark.parametrize("critic", ["critic.model.", "fake_score.", "real_score.", "teacher.", "critic."])
def test_of_a_generator_and_its_critic_the_generator_is_taken(critic, tmp_path):
    """The shorter name was taken before, which is the critic's in what Self-Forcing's trainer saves."""
    tensors = {f"generator.model.{n}": t for n, t in plain_transformer(1.0).items()}
    tensors |= {critic + n: t for n, t in plain_transformer().items()}
    save_file(tensors, tmp_path / "w.safetensors")
    (part,) = parts_of(tmp_path / "w.safetensors")
    assert float(read_entry(part.entries["head.modulation"]).mean()) == 1.0
    assert "generator.model. is taken" in part.note


def test_of_a_whole_model_the_transformer_may_be_plain_fp8_and_umt5_scaled(made, tmp_path):
    """As ComfyUI saves a checkpoint: scales of one part say nothing of the others."""
    folder, models = made
    tensors = authors_transformer(folder / "transformer", open_layout(folder).transformers[0].config)
    small = {n: t.to(torch.float8_e4m3fn) for n, t in tensors.items()}
    whole = {f"model.diffusion_model.{n}": t for n, t in small.items()}
    whole |= {f"vae.{n}": t for n, t in load_file(models / "vae" / "wan_2.1_vae.safetensors").items()}
    words = load_file(models / "text_encoders" / "umt5_xxl_fp8_e4m3fn_scaled.safetensors")
    whole["text_encoders.spiece_model"] = words.pop("spiece_model")
    whole |= {f"text_encoders.umt5xxl.transformer.{n}": t for n, t in words.items()}
    save_file({n: t.contiguous() for n, t in whole.items()}, tmp_path / "all.safetensors")
    shutil.copy(models / "vae" / "constants.json", tmp_path)
    got = load_checkpoint(tmp_path / "all.safetensors", "fp32")
    table = small["blocks.0.modulation"].float()
    assert torch.equal(got.transformer.state_dict()["blocks.0.table"].reshape(-1), table.reshape(-1))
    want = load_checkpoint(folder, "fp32").text.encode(["a ball"]).states
    assert torch.allclose(got.text.encode(["a ball"]).states, want)


@pytest.mark.parametrize(
    "name",
    [
        "wan-00001-of-00002.safetensors",
        "wan-1-of-2.safetensors",
        "wan_0001_of_0002.SAFETENSORS",
        "wan.00001-of-00002.safetensors",
    ],
)
def test_the_first_of_several_files_is_no_smaller_model(name, tmp_path):
    """Its blocks are counted, so that one which holds the head too would be a model of fewer layers."""
    save_file(plain_transformer(), tmp_path / name)
    with pytest.raises(UserError, match="one of 2 files"):
        parts_of(tmp_path / name)
    save_file(plain_transformer(), tmp_path / "wan-00001-of-00001.safetensors")
    assert parts_of(tmp_path / "wan-00001-of-00001.safetensors")


def test_fp8_that_only_metadata_calls_scaled_needs_its_scales(tmp_path):
    small = {n: t.to(torch.float8_e4m3fn) for n, t in plain_transformer().items()}
    layers = {"format_version": "1.0", "layers": {"blocks.0.self_attn.q": {"format": "float8_e4m3fn"}}}
    save_file(small, tmp_path / "w.safetensors", {"_quantization_metadata": json.dumps(layers)})
    with pytest.raises(UserError, match=r"scale of blocks\.0\.self_attn\.q\.weight is missing"):
        parts_of(tmp_path / "w.safetensors")
    save_file(small, tmp_path / "w.safetensors", {"_quantization_metadata": "{}"})
    assert parts_of(tmp_path / "w.safetensors")


@pytest.mark.parametrize("case", [str.lower, str.upper, str.title])
def test_folders_in_folders_and_in_upper_case(made, case, tmp_path):
    _, models = made
    for path in models.rglob("*"):
        if path.is_file() and HIGH not in path.stem:
            place = tmp_path / "M" / case(path.parent.name) / "wan" / "fp8" / path.name
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, place.with_name(path.name.replace("low_noise", "only")))
    layout = open_model(tmp_path / "M")
    assert layout.codec.where.name == "wan_2.1_vae.safetensors"
    assert open_model(layout.transformers[0].where).codec.where == layout.codec.where


def test_fewer_layers_than_published_are_said(made, tmp_path):
    from sorairo.checkpoints.files_layout import fewer_layers

    assert fewer_layers(1536, 29) and fewer_layers(5120, 30)
    assert not fewer_layers(1536, 30) and not fewer_layers(5120, 40) and not fewer_layers(128, 2)


def test_why_a_part_that_is_there_is_not_read_is_said(made, tmp_path):
    """It was "give also --vae FILE" before, and "holds no transformer"."""
    _, models = made
    root = tmp_path / "models"
    shutil.copytree(models, root)
    vae = root / "vae" / "wan_2.1_vae.safetensors"
    vae.write_bytes(vae.read_bytes()[:-100])
    with pytest.raises(
        UserError, match=r"give also --vae FILE .*wan_2\.1_vae\.safetensors is damaged or cut short"
    ):
        open_model(root)
    for which in (HIGH, LOW):
        path = root / "diffusion_models" / f"{which}.safetensors"
        tensors = load_file(path)
        save_file({n: t for n, t in tensors.items() if not n.endswith("0.self_attn.q.scale_weight")}, path)
    (root / "diffusion_models" / f"{LOW}.safetensors").unlink()
    with pytest.raises(
        UserError, match=r"holds no transformer.*scale of blocks\.0\.self_attn\.q\.weight is missing"
    ):
        open_model(root)


def test_two_that_are_no_pair_are_both_named(made, tmp_path):
    """Of a pair whose first needs a CLIP it was the CLIP that was asked for."""
    _, models = made
    high = models / "diffusion_models" / f"{HIGH}.safetensors"
    short = {n: t for n, t in load_file(high).items() if ".blocks.1." not in n}
    save_file(short, tmp_path / "short.safetensors")
    with pytest.raises(UserError, match=rf"{HIGH}.* and .*short.* differ in shape"):
        open_model(f"high={high},low={tmp_path / 'short.safetensors'}")
    with pytest.raises(UserError, match="is a folder; give the FILE in it"):
        open_model(f"high={high},low={tmp_path}")


def test_a_clip_for_a_model_without_one_is_refused(made):
    """It was left out in silence."""
    folder, models = made
    beside = Beside(image_encoder=models / "vae" / "wan_2.1_vae.safetensors")
    for model in (models, folder):
        with pytest.raises(UserError, match="has no use for a CLIP; leave out --image-encoder"):
            open_model(model, beside)


def test_a_link_to_a_folder_above_counts_a_model_once(tmp_path):
    home = tmp_path / "diffusion_models" / "wan"
    home.mkdir(parents=True)
    save_file(plain_transformer(), home / "one.safetensors")
    (home / "again").symlink_to(tmp_path / "diffusion_models")
    assert files_of(tmp_path).paths == (home / "one.safetensors",)


def test_a_part_of_a_checkpoint_names_its_folder(made):
    """It was "give also --text-encoder FILE"."""
    folder, _ = made
    with pytest.raises(UserError, match=f"is a part of {folder}; give that folder"):
        open_model(folder / "transformer" / WEIGHTS)


def test_an_empty_name_is_no_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="name of the model is empty"):
        open_model("")
