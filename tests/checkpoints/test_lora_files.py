"""Every key style gives the weights that diffusers' own conversion and PEFT's formula give."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import WanTransformer3DModel
from diffusers.loaders.lora_pipeline import WanLoraLoaderMixin
from safetensors.torch import save_file

import sorairo
from sorairo.checkpoints.adapters.lora import module_name
from sorairo.checkpoints.adapters.wan import from_wan, from_wan_config
from sorairo.checkpoints.few_steps import few_steps
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.lora import Lora, apply_loras, check_base, check_lora, parse_lora, read_lora
from sorairo.checkpoints.lora import _few_steps as few_steps_of
from sorairo.nn.lora import attach, merge
from sorairo.transformer.model import Transformer
from sorairo.types import Plan, Span, UserError

RANK = 3
ORIGINAL = {
    "attn1.to_q": "self_attn.q",
    "attn1.to_k": "self_attn.k",
    "attn1.to_v": "self_attn.v",
    "attn1.to_out.0": "self_attn.o",
    "attn2.to_q": "cross_attn.q",
    "attn2.to_k": "cross_attn.k",
    "attn2.to_v": "cross_attn.v",
    "attn2.to_out.0": "cross_attn.o",
    "ffn.net.0.proj": "ffn.0",
    "ffn.net.2": "ffn.2",
}
AROUND = {
    "condition_embedder.time_embedder.linear_1": "time_embedding.0",
    "condition_embedder.time_embedder.linear_2": "time_embedding.2",
    "condition_embedder.text_embedder.linear_1": "text_embedding.0",
    "condition_embedder.text_embedder.linear_2": "text_embedding.2",
    "condition_embedder.time_proj": "time_projection.1",
    "proj_out": "head.head",
}
IN_BLOCKS = {f"blocks.{i}.{a}": f"blocks.{i}.{b}" for i in range(2) for a, b in ORIGINAL.items()}


@pytest.fixture(scope="module")
def reference():
    torch.manual_seed(0)
    model = WanTransformer3DModel(
        patch_size=(1, 2, 2),
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=4,
        text_dim=24,
        freq_dim=16,
        ffn_dim=48,
        num_layers=2,
        cross_attn_norm=True,
        rope_max_seq_len=32,
    ).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return model.requires_grad_(False)


def ours(reference):
    model = Transformer(from_wan_config(reference.config, text_len=12)).eval().requires_grad_(False)
    model.load_state_dict(from_wan(reference.state_dict()))
    return model


def factors(reference, modules):
    torch.manual_seed(1)
    shapes = {name: reference.get_submodule(name).weight.shape for name in modules}
    return {name: (torch.randn(RANK, i) * 0.2, torch.randn(o, RANK) * 0.2) for name, (o, i) in shapes.items()}


def peft(reference):
    made = {}
    for name, (down, up) in factors(reference, {**IN_BLOCKS, **AROUND}).items():
        made |= {f"transformer.{name}.lora_A.weight": down, f"transformer.{name}.lora_B.weight": up}
    return made


def original(reference, down_key, up_key, extras):
    made = {}
    for name, (down, up) in factors(reference, {**IN_BLOCKS, **AROUND}).items():
        key = "diffusion_model." + {**IN_BLOCKS, **AROUND}[name]
        made |= {f"{key}.{down_key}.weight": down, f"{key}.{up_key}.weight": up}
        if extras:
            made[f"{key}.diff_b"] = torch.randn(up.shape[0])
            if name in IN_BLOCKS:
                made[f"{key}.alpha"] = torch.tensor(2.0)
    return made


def kohya(reference):
    made = {}
    for name, (down, up) in factors(reference, IN_BLOCKS).items():
        key = "lora_unet_" + IN_BLOCKS[name].replace(".", "_")
        made |= {
            f"{key}.lora_down.weight": down,
            f"{key}.lora_up.weight": up,
            f"{key}.alpha": torch.tensor(1.5),
        }
    return made


STYLES = {
    "peft": peft,
    "original": lambda model: original(model, "lora_down", "lora_up", extras=True),
    "original A B": lambda model: original(model, "lora_A", "lora_B", extras=False),
    "kohya": kohya,
}


def lycoris(reference, kind):
    """(the file of a LoKr or a LoHa by LyCORIS's names, what it adds to each weight)."""
    torch.manual_seed(4)
    made, adds = {}, {}
    for name in IN_BLOCKS:
        o, i = reference.get_submodule(name).weight.shape
        key = "lycoris_" + IN_BLOCKS[name].replace(".", "_")
        if kind == "lokr":
            left, up, down = (
                torch.randn(4, 8),
                torch.randn(o // 4, RANK) * 0.1,
                torch.randn(RANK, i // 8) * 0.1,
            )
            made |= {f"{key}.lokr_w1": left, f"{key}.lokr_w2_a": up, f"{key}.lokr_w2_b": down}
            adds[name] = torch.kron(left, up @ down) * 2.0 / RANK
        else:
            a, b, c, d = (torch.randn(*shape) * 0.3 for shape in ((o, RANK), (RANK, i), (o, RANK), (RANK, i)))
            made |= {
                f"{key}.hada_w1_a": a,
                f"{key}.hada_w1_b": b,
                f"{key}.hada_w2_a": c,
                f"{key}.hada_w2_b": d,
            }
            adds[name] = (a @ b) * (c @ d) * 2.0 / RANK
        made[f"{key}.alpha"] = torch.tensor(2.0)
    return made, adds


@pytest.mark.parametrize("kind", ["lokr", "loha"])
def test_lycoris_is_its_papers_formula(reference, kind, tmp_path):
    tensors, adds = lycoris(reference, kind)
    save_file(tensors, tmp_path / "style.safetensors")
    model = ours(reference)
    lora = check_lora(read_lora(tmp_path / "style.safetensors"), model)
    x, timestep, text = inputs()
    beside = attach(model, [(lora.changes, 0.6)])
    apart = model(x, timestep, text)
    beside.remove()
    merge(model, [(lora.changes, 0.6)])
    for name, add in adds.items():
        want = reference.get_submodule(name).weight + 0.6 * add
        assert torch.allclose(model.get_parameter(f"{module_name(name)}.weight"), want, atol=1e-5), name
    assert (model(x, timestep, text) - apart).abs().max() < 1e-4 * apart.abs().max()


def test_modulation_and_names_without_weight(reference, tmp_path):
    model, path = ours(reference), tmp_path / "lora.safetensors"
    table, before = torch.randn(1, 6, 32), model.blocks[1].table.clone()
    down, up = torch.randn(RANK, 32), torch.randn(32, RANK)
    save_file(
        {
            "diffusion_model.blocks.1.diff_m": table,
            "diffusion_model.head.diff_m": torch.ones(1, 2, 32),
            "pipe.dit.blocks.0.self_attn.q.lora_A": down,
            "pipe.dit.blocks.0.self_attn.q.lora_B": up,
        },
        path,
    )
    merge(model, [(check_lora(read_lora(path), model).changes, 1.0)])
    assert torch.allclose(model.blocks[1].table, before + table[0])
    want = reference.blocks[0].attn1.to_q.weight + up @ down
    assert torch.allclose(model.blocks[0].self_attention.q.weight, want, atol=1e-5)


def test_parts_for_a_clip_are_left_out_of_a_model_without_one(reference, tmp_path):
    model, path = ours(reference), tmp_path / "wan21.safetensors"
    beside = {
        "diffusion_model.blocks.0.cross_attn.k_img.lora_down.weight": torch.zeros(RANK, 32),
        "diffusion_model.blocks.0.cross_attn.k_img.lora_up.weight": torch.zeros(32, RANK),
        "diffusion_model.img_emb.proj.1.diff_b": torch.zeros(32),
    }
    save_file(original(reference, "lora_down", "lora_up", extras=False) | beside, path)
    lora = check_lora(read_lora(path), model)
    assert lora.left_out == ("blocks.0.cross_attention.image.k.weight", "image.first.bias")
    assert len(lora.changes) == len(IN_BLOCKS) + len(AROUND)
    save_file(beside, path)
    with pytest.raises(UserError, match=r"no part called blocks\.0\.cross_attention\.image"):
        check_lora(read_lora(path), model)


def test_parts_for_a_text_encoder_are_left_out_and_listed(reference, tmp_path):
    model, path = ours(reference), tmp_path / "style.safetensors"
    beside = {
        "lora_te_block_0_q.lora_down.weight": torch.zeros(RANK, 32),
        "lora_te_block_0_q.lora_up.weight": torch.zeros(32, RANK),
        "text_encoder.block.0.q.lora_A.weight": torch.zeros(RANK, 32),
        "text_encoder.block.0.q.lora_B.weight": torch.zeros(32, RANK),
    }
    save_file(kohya(reference) | beside, path)
    lora = check_lora(read_lora(path), model)
    assert lora.left_out == ("lora_te_block_0_q.weight", "text_encoder.block.0.q.weight")
    assert len(lora.changes) == len(IN_BLOCKS)


def test_halves_come_with_nothing_of_their_module(reference, tmp_path):
    model, path = ours(reference), tmp_path / "lora.safetensors"
    half = {
        "diffusion_model.blocks.0.ffn.0.lora_down.weight": torch.zeros(RANK, 32),
        "diffusion_model.blocks.0.ffn.0.diff_b": torch.ones(48),
        "lycoris_blocks_1_ffn_0.lokr_w1": torch.ones(2, 2),
        "lycoris_blocks_1_ffn_2.hada_w1_a": torch.ones(32, 2),
    }
    save_file(half | {"diffusion_model.head.head.diff_b": torch.ones(16)}, path)
    lora = check_lora(read_lora(path), model, strict=False)
    assert list(lora.changes) == ["head.project.bias"]
    assert set(lora.left_out) == set(half)


@pytest.mark.parametrize(
    ("key", "match"),
    [
        ("diffusion_model.blocks.0.self_attn.q.dora_scale", "a DoRA"),
        ("transformer.blocks.0.attn1.to_q.lora_magnitude_vector.weight", "a DoRA"),
        ("lycoris_blocks_0_self_attn_q.oft_blocks", "OFT"),
        ("lycoris_blocks_0_self_attn_q.hada_t1", "Tucker"),
    ],
)
def test_what_is_no_sum_of_products_is_refused(reference, key, match, tmp_path):
    save_file(kohya(reference) | {key: torch.ones(32)}, tmp_path / "lora.safetensors")
    with pytest.raises(UserError, match=match):
        read_lora(tmp_path / "lora.safetensors")


def test_known_files_of_few_steps_bring_their_settings():
    names = {
        "wan2.2_i2v_lightx2v_4steps_lora_v1_high_noise": (4, 5.0, "euler"),
        "Wan21_T2V_14B_lightx2v_cfg_step_distill_lora_rank32": (4, 5.0, "lcm"),
        "Wan2.2-T2V-A14B-4steps-lora-rank64-Seko-V1.1/high_noise_model": (4, 5.0, "euler"),
        "style": None,
        "wan2.2_lightning/style": None,
    }
    for name, want in names.items():
        few = few_steps([Path("somewhere") / f"{name}.safetensors"])
        assert (few and (few.steps, few.shift, few.sampler)) == want
    pair = [parse_lora(f"{which}=a/wan2.2_4steps_{which}.safetensors") for which in ("high", "low")]
    assert few_steps_of(pair, both=True) and few_steps_of(pair[:1], both=False)
    assert few_steps_of(pair[:1], both=True) is None  # half of a model that is not distilled
    plan = Plan(size=(64, 64), frames=5, fps=16.0, spans=(Span(text="a ball"),), seed=0)
    few = few_steps([Path("wan2.2_lightning.safetensors")])
    made, said = few.of(plan)
    assert (made.steps, made.guidance, made.shift, made.sampler) == (4, 1.0, 5.0, "euler")
    assert "--steps 4 --guidance 1 --shift 5 --sampler euler" in said
    assert few.of(replace(plan, guidance=2.0, sampler="lcm"))[0].guidance == 2.0
    assert few.of(replace(plan, steps=20)) == (replace(plan, steps=20), "")


def by_hand(reference, tensors, weight):
    """A copy of diffusers' model with diffusers' reading of a file, by PEFT's formula."""
    made = WanTransformer3DModel.from_config(reference.config)
    made.load_state_dict(reference.state_dict())
    theirs = WanLoraLoaderMixin.lora_state_dict({name: tensor.clone() for name, tensor in tensors.items()})
    for name in {name.rsplit(".lora_", 1)[0] for name in theirs}:
        layer = made.get_submodule(name.removeprefix("transformer."))
        down, up = theirs[f"{name}.lora_A.weight"], theirs[f"{name}.lora_B.weight"]
        layer.weight.data += weight * up @ down
        if f"{name}.lora_B.bias" in theirs:
            layer.bias.data += weight * theirs[f"{name}.lora_B.bias"]
    return made.eval().requires_grad_(False)


def inputs():
    torch.manual_seed(2)
    return torch.randn(1, 4, 2, 4, 6), torch.tensor([500.0]), torch.randn(1, 12, 24)


@pytest.mark.parametrize("style", STYLES)
def test_as_diffusers(reference, style, tmp_path):
    tensors = STYLES[style](reference)
    save_file(tensors, tmp_path / "lora.safetensors")
    want = by_hand(reference, tensors, 0.6)
    model = ours(reference)
    lora = check_lora(read_lora(tmp_path / "lora.safetensors"), model)
    x, timestep, text = inputs()
    theirs = want(x, timestep, text, return_dict=False)[0]
    plain = model(x, timestep, text)
    beside = attach(model, [(lora.changes, 0.6)])
    apart = model(x, timestep, text)
    beside.remove()
    merged = merge(model, [(lora.changes, 0.6)])
    for name, tensor in from_wan(want.state_dict()).items():
        assert torch.allclose(model.get_parameter(name), tensor, atol=1e-5), name
    scale = theirs.abs().max()
    assert (model(x, timestep, text) - theirs).abs().max() < 1e-4 * scale
    assert (apart - theirs).abs().max() < 1e-4 * scale
    assert (plain - theirs).abs().max() > 0.01 * scale
    merged.undo()
    assert torch.equal(model(x, timestep, text), plain)


def test_every_linear_layer_has_its_name_in_every_style(reference):
    model = ours(reference)
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    names = {**IN_BLOCKS, **AROUND, "patch_embedding": "patch_embedding"}
    assert {module_name(f"transformer.{name}") for name in names} == linear
    assert {module_name(f"base_model.model.{name}") for name in names} == linear
    assert {module_name(f"diffusion_model.{name}") for name in names.values()} == linear
    assert {module_name("lora_unet_" + name.replace(".", "_")) for name in names.values()} == linear
    assert {module_name(name) for name in linear} == linear
    assert module_name("diffusion_model.blocks.1.norm3") == "blocks.1.cross_norm"
    assert module_name("lora_unet_blocks_11_cross_attn_v_img") == "blocks.11.cross_attention.image.v"


def test_a_convolution_and_norms(reference, tmp_path):
    model = ours(reference)
    down, up = torch.randn(RANK, 4, 1, 2, 2), torch.randn(32, RANK, 1, 1, 1)
    norm = torch.randn(32)
    tensors = {
        "diffusion_model.patch_embedding.lora_down.weight": down,
        "diffusion_model.patch_embedding.lora_up.weight": up,
        "diffusion_model.blocks.0.self_attn.norm_k.diff": norm,
    }
    save_file(tensors, tmp_path / "lora.safetensors")
    lora = check_lora(read_lora(tmp_path / "lora.safetensors"), model)
    want = reference.patch_embedding.weight + torch.einsum("orxyz,rcthw->octhw", up, down)
    merge(model, [(lora.changes, 1.0)])
    assert torch.allclose(model.patches.embed.weight, want.flatten(1), atol=1e-5)
    assert torch.allclose(
        model.blocks[0].self_attention.norm_k.weight, reference.blocks[0].attn1.norm_k.weight + norm
    )


@pytest.mark.parametrize("where", ["diffusers", "peft"])
def test_the_scale_in_the_metadata(reference, where, tmp_path):
    config = {"lora_alpha": 6, "r": RANK, "alpha_pattern": {"blocks.1.attn1.to_q": 12}}
    metadata = {
        "lora_adapter_metadata": json.dumps({f"transformer.{key}": value for key, value in config.items()})
    }
    if where == "peft":
        metadata = {}
        (tmp_path / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    save_file(peft(reference), tmp_path / "lora.safetensors", metadata=metadata)
    changes = read_lora(tmp_path).changes  # the folder will do
    per = 3 if where == "diffusers" else 3**0.5
    assert changes["blocks.0.self_attention.q.weight"].scale == pytest.approx(6 / per)
    assert changes["blocks.1.self_attention.q.weight"].scale == pytest.approx(12 / per)


def test_what_does_not_match_is_listed(reference, tmp_path):
    model, path = ours(reference), tmp_path / "lora.safetensors"
    odd = {
        "diffusion_model.blocks.7.self_attn.q.lora_down.weight": torch.zeros(RANK, 32),
        "diffusion_model.blocks.7.self_attn.q.lora_up.weight": torch.zeros(32, RANK),
        "diffusion_model.blocks.0.ffn.0.lora_down.weight": torch.zeros(RANK, 32),
        "dwpose_embedding.bias": torch.zeros(1),
    }
    save_file(odd, path)
    with pytest.raises(UserError, match=r"no part called blocks.7.*dwpose_embedding.bias") as error:
        check_lora(read_lora(path), model)
    assert "diffusion_model.blocks.0.ffn.0.lora_down.weight" in str(error.value)
    with pytest.raises(UserError, match="does not fit"):  # nothing of it does
        check_lora(read_lora(path), model, strict=False)
    save_file(odd | kohya(reference), path)
    with pytest.raises(UserError, match="does not fit"):
        check_lora(read_lora(path), model)
    assert len(check_lora(read_lora(path), model, strict=False).changes) == len(IN_BLOCKS)


def test_bad_files_are_one_sentence(reference, tmp_path):
    model, path = ours(reference), tmp_path / "lora.safetensors"
    save_file({name: torch.cat([t, t], dim=-1) for name, t in peft(reference).items() if "A" in name}, path)
    wide = {name: torch.cat([t, t], dim=1) if "lora_A" in name else t for name, t in peft(reference).items()}
    save_file(wide, path)
    with pytest.raises(UserError, match=r"made for another model.*32x64 there and 32x32 here"):
        check_lora(read_lora(path), model)
    torn = {name: t[:2] if "lora_A" in name else t for name, t in peft(reference).items()}
    save_file(torn, path)
    with pytest.raises(UserError, match="rank 2 and up from 3"):
        read_lora(path)
    save_file(peft(reference), path)
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(UserError, match="damaged or cut short"):
        read_lora(path)
    with pytest.raises(UserError, match="no LoRA"):
        read_lora(tmp_path / "none.safetensors")
    save_file(dict(reference.state_dict()), tmp_path / "model.safetensors")
    with pytest.raises(UserError, match=r"is no LoRA: it holds whole weights.*--model"):
        read_lora(tmp_path / "model.safetensors")  # it was of another model, as all its names are unknown
    (tmp_path / "lora.pt").write_bytes(b"")
    with pytest.raises(UserError, match="pickle"):
        read_lora(tmp_path / "lora.pt")


def test_file_and_weight(tmp_path):
    assert parse_lora("a/b.safetensors") == (Path("a/b.safetensors"), 1.0, "")
    assert parse_lora("b.safetensors:-0.5") == (Path("b.safetensors"), -0.5, "")
    odd = tmp_path / "x:2"
    odd.write_text("")
    assert parse_lora(str(odd)) == (odd, 1.0, "")
    assert parse_lora("high=b.safetensors:0.5") == (Path("b.safetensors"), 0.5, "high")
    assert parse_lora("low=b.safetensors") == (Path("b.safetensors"), 1.0, "low")
    assert parse_lora("other=b.safetensors") == (Path("other=b.safetensors"), 1.0, "")
    for wrong in ("b.safetensors:much", ":1", "b:nan", "b:inf", "low=b:much"):
        with pytest.raises(UserError, match="FILE:WEIGHT"):
            parse_lora(wrong)


def test_several_on_a_checkpoint(tiny_folder, tmp_path):
    model = sorairo.load(tiny_folder, "fp32")
    one = {
        "blocks.0.self_attention.q.lora_A.weight": torch.randn(2, 32),
        "blocks.0.self_attention.q.lora_B.weight": torch.randn(32, 2),
    }
    save_file(one, tmp_path / "one.safetensors")
    save_file({"diffusion_model.head.head.diff_b": torch.randn(32)}, tmp_path / "two.safetensors")
    asks = [f"{tmp_path / 'one.safetensors'}:0.5", str(tmp_path / "two.safetensors")]
    prompt = {"prompt": "a red ball drops", "seed": 1, "steps": 2}
    plain = model.generate(**prompt).video.frames
    assert apply_loras(model, []) is model
    changed = apply_loras(model, asks)
    assert changed.info.name == "tiny + one:0.5 + two:1"
    merged = changed.generate(**prompt).video.frames
    apart = apply_loras(sorairo.load(tiny_folder, "fp32"), asks, apart=True).generate(**prompt).video.frames
    assert (merged != plain).mean() > 0.1
    assert abs(merged.astype(int) - apart).max() <= 1
    lean = replace(sorairo.load(tiny_folder), **vars(load_checkpoint(tiny_folder, "fp32", stream=True)))
    assert abs(merged.astype(int) - apply_loras(lean, asks).generate(**prompt).video.frames).max() <= 1
    with pytest.raises(UserError, match="has one transformer"):
        apply_loras(model, [f"high={tmp_path / 'two.safetensors'}"])
    save_file({"diffusion_model.blocks.0.norm3.diff": torch.randn(32)}, tmp_path / "norm.safetensors")
    with pytest.raises(UserError, match="streamed blocks cannot take"):
        apply_loras(lean, [str(tmp_path / "norm.safetensors")])


@pytest.mark.parametrize(
    ("base", "model", "fits"),
    [
        ("single", "single", True),
        ("single", "fast", True),
        ("single", "default", False),
        ("default", "single", False),
        ("default", "runs/mine", True),
        ("runs/mine", "default", True),
        ("", "default", True),
    ],
)
def test_a_lora_of_another_of_our_models_is_refused_by_name(base: str, model: str, fits: bool) -> None:
    """Their shapes are equal, so the file's own word is all there is."""
    lora = Lora(path=Path("mine.safetensors"), changes={}, base=base)
    if fits:
        assert check_base(lora, model) is lora
        return
    with pytest.raises(UserError, match=f"made for {base}, not for {model}; use it with -m {base}"):
        check_base(lora, model)
