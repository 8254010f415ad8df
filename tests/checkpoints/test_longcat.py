"""LongCat-Video: its authors' numbers (longcat_golden.py), its folder, its LoRAs, and the verbs that it can do."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import sorairo
from sorairo.checkpoints.adapters import longcat
from sorairo.checkpoints.export import export
from sorairo.checkpoints.families import family_of
from sorairo.checkpoints.folder import load_checkpoint, read_info
from sorairo.checkpoints.hub.choose import RemoteFile, choose
from sorairo.checkpoints.lora import apply_loras
from sorairo.checkpoints.memory.estimates import KNOWN, blueprint
from sorairo.generation import continued
from sorairo.generation.continued import ContinuedDenoising
from sorairo.generation.generate import generate, stream
from sorairo.text.encoder import TextStates
from sorairo.transformer.causal import History
from sorairo.transformer.compiling import compile_blocks
from sorairo.transformer.longcat import LongCat
from sorairo.types import Known, Plan, Span, UserError, Video
from tests.checkpoints import longcat_golden as golden
from tests.checkpoints.wan_folders import saved

PROMPT = "a red ball drops"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    where = tmp_path_factory.mktemp("longcat") / "m"
    saved("longcat", where)
    return where


@pytest.fixture(scope="module")
def model(folder):
    return sorairo.load(folder, "fp32")


def transformer(**changes):
    values = golden.SHAPE | {"text_tokens_zero_pad": True} | changes
    made = LongCat(longcat.from_longcat_config(values, text_len=golden.TEXT_LEN)).eval()
    made.load_state_dict(longcat.from_longcat(golden.weights(golden.shapes())))
    return made


def close(made, name, bound=1e-5):
    want = load_file(golden.GOLDEN)[name]
    assert made.shape == want.shape
    assert (made - want).abs().max() <= bound * want.abs().max()


@torch.inference_mode()
def test_the_authors_velocity():
    states, lengths = golden.texts()
    x, time = golden.noise().repeat(2, 1, 1, 1, 1), torch.tensor([700.0, 700.0])
    states, ours = states[:, :3], transformer()
    close(-ours(x, time, states, lengths), "step.words")
    close(-transformer(text_tokens_zero_pad=False)(x, time, states, lengths), "step.no pads")
    times = time[:, None].repeat(1, golden.GRID[0])
    times[:, :2] = 0
    x[:, :, :2] = golden.known(2)
    close(-ours(x, times, states, lengths, known=2), "step.known")
    history = History(2)
    history.keep = True
    ours(golden.known(2), torch.zeros(1), states[:1], lengths[:1], sight=history)
    history.keep = False
    made = ours(x[:, :, 2:], time, states, lengths, sight=history)
    close(-made, "step.cached")
    assert (made - ours(x, times, states, lengths, known=2)[:, :, 2:]).abs().max() <= 1e-5


@torch.inference_mode()
@pytest.mark.parametrize(
    ("before", "few"), [(0, False), (1, False), (2, False), (0, True), (2, True)]
)  # known latents; whether distilled
def test_the_authors_clips(model, before, few, monkeypatch):
    """From words, on from a picture and on from a clip; the distilled one with the LoRA's schedule alone."""
    states, lengths = golden.texts()
    texts = {
        text: TextStates(states=states[n : n + 1], lengths=lengths[n : n + 1])
        for n, text in enumerate(("a", "b"))
    }
    steps = 6 if few else 12 if before == 2 else 5
    ours = replace(model, transformer=transformer())
    if few:
        known = sorairo.checkpoints.few_steps.FewSteps(steps=6, grid=50)
        ours = replace(ours, few_steps=known)
    video = Video(
        frames=np.zeros((max(1, 4 * before - 3), golden.SIZE[1], golden.SIZE[0], 3), np.uint8), fps=15.0
    )
    plan = Plan(
        size=golden.SIZE,
        frames=golden.FRAMES,
        fps=15.0,
        seed=0,
        spans=(Span(text="a"),),
        known=(Known(video=video),) if before else (),
        negative="b",
        guidance=1.0 if few else golden.GUIDANCE,
        steps=steps,
    )
    monkeypatch.setattr(
        continued, "noise_like", lambda size, t, codec, noises: golden.noise()[:, :, golden.GRID[0] - t :]
    )
    monkeypatch.setattr(ours.codec, "encode", lambda pixels: golden.known(before))
    one, made = ContinuedDenoising(plan, ours, texts), []
    decode = ours.codec.decode
    monkeypatch.setattr(ours.codec, "decode", lambda latents: made.append(latents) or decode(latents))
    one.run(lambda step, data: None)
    name = {0: "words", 1: "picture", 2: "clip"}[before] + (" distilled" if few else "")
    close(made[0], f"clip.{name}", 3e-4)  # they round levels to float32, up to 7e-5 of a timestep


def clip(count, seed=1, size=golden.SIZE):
    pixels = np.random.default_rng(seed).integers(0, 255, (count, size[1], size[0], 3), dtype=np.uint8)
    return Video(frames=pixels, fps=15.0)


def test_verbs(model):
    settings = {"steps": 1, "guidance": 1.0, "size": golden.SIZE}
    assert model.info.max_frames == 17  # tests ask for little: 13 of them known, 4 new
    longer = model.extend(clip(20), PROMPT, frames=8, **settings).video
    assert len(longer) == 28 and np.array_equal(longer.frames[:20], clip(20).frames)
    moving = model.animate(clip(1), PROMPT, frames=25, **settings).video
    assert len(moving) == 25 and np.array_equal(moving.frames[:1], clip(1).frames)
    plan = Plan(
        size=golden.SIZE, frames=25, fps=15.0, seed=0, spans=(Span(text=PROMPT), Span(text="blue", start=8))
    )
    board = replace(plan, steps=1, guidance=2.0)
    pieces = [piece.frames for piece in stream(board, model)]
    assert [len(piece) for piece in pieces] == [8, 12, 4, 1]  # other words begin a window
    assert np.array_equal(np.concatenate(pieces), generate(board, model)[0].video.frames)
    for refused in (
        lambda: model.connect(clip(1), clip(1, 2), PROMPT, **settings),
        lambda: model.edit(clip(20), PROMPT, **settings),
        lambda: model.extend(clip(20), PROMPT, before=True, **settings),
        lambda: model.loop(clip(20), PROMPT, **settings),
    ):
        with pytest.raises(UserError, match=r"at the beginning|from their beginning"):
            refused()


def test_its_folder(folder, model, tmp_path):
    info = read_info(folder)
    assert (info.fps, info.default_guidance, info.zero_star, info.licence) == (15.0, 4.0, True, "MIT")
    assert model.shift == golden.SHIFT and model.sampler.spacing == "longcat"
    assert blueprint("m", folder).parts[1].parameters == sum(
        p.numel() for p in model.transformer.parameters()
    )
    export(folder, tmp_path / "again", "diffusers")
    again = load_checkpoint(tmp_path / "again", "fp32")
    assert again.sampler == model.sampler and again.info == model.info
    mine, theirs = model.transformer.state_dict(), again.transformer.state_dict()
    assert mine.keys() == theirs.keys() and all(torch.equal(mine[name], theirs[name]) for name in mine)
    with pytest.raises(UserError, match="is no Wan"):
        export(folder, tmp_path / "original", "original")


def test_its_published_size():
    """13.6 billion, as its authors say (arXiv 2510.22200)."""
    plan = KNOWN["meituan-longcat/LongCat-Video"]()
    assert plan.parts[1].parameters == pytest.approx(13.6e9, rel=5e-3)
    assert plan.needs(plan.asks[0], torch.bfloat16)[0] > 27e9
    longer = replace(plan.asks[0], frames=173)
    assert plan.needs(longer, torch.bfloat16) == plan.needs(plan.asks[0], torch.bfloat16)
    tokens = 4 * 52 * 30  # of 13 frames at 832x480: their keys and values are 4.9 GB
    assert (
        family_of(plan.configs[0]).held(plan.configs[0], (16, 24, 60, 104), torch.bfloat16)
        == 48 * 2 * tokens * 8192
    )


def test_streamed_and_in_int8(folder, model):
    plan = Plan(
        size=golden.SIZE, frames=21, fps=15.0, seed=0, spans=(Span(text=PROMPT),), steps=2, guidance=3.0
    )
    want = generate(plan, model)[0].video.frames
    streamed = load_checkpoint(folder, "fp32", stream=True)
    assert np.array_equal(generate(plan, streamed)[0].video.frames, want)
    eight = load_checkpoint(folder, "int8")
    error = generate(plan, eight)[0].video.frames.astype(float) - want
    assert 20 * np.log10(255 / np.sqrt(np.square(error).mean())) > 25
    assert type(eight.transformer.blocks[0].modulation) is torch.nn.Linear


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
def test_compiled(folder, model):
    plan = Plan(
        size=golden.SIZE, frames=21, fps=15.0, seed=0, spans=(Span(text=PROMPT),), steps=2, guidance=3.0
    )
    want = generate(plan, model)[0].video.frames.astype(int)
    compiled = load_checkpoint(folder, "fp32")
    compile_blocks(compiled.transformer)
    assert np.abs(generate(plan, compiled)[0].video.frames - want).max() <= 2


def their_lora(rank=3, names=("blocks.0.attn.qkv", "blocks.1.cross_attn.kv_linear", "blocks.1.ffn.w1")):
    """A LoRA under their names, and the changes that it stands for."""
    made, changes, shapes = {}, {}, golden.shapes()
    parts = {"qkv": 3, "kv_linear": 2}
    for seed, name in enumerate(names):
        rows, columns = shapes[f"{name}.weight"]
        many = parts.get(name.rpartition(".")[2], 1)
        key = "___lorahyphen___".join(["lora", *name.split(".")])
        down = golden.waves(many * rank, columns, seed=200 + seed)
        made |= {f"{key}.lora_down.weight": down, f"{key}.alpha_scale": torch.tensor(0.5)}
        ups = [golden.waves(rows // many, rank, seed=300 + 10 * seed + n) for n in range(many)]
        where = "lora_up.blocks.{}.weight" if many > 1 else "lora_up.weight"
        made |= {f"{key}.{where.format(n)}": up for n, up in enumerate(ups)}
        changes[name] = 0.5 * torch.cat([up @ one for up, one in zip(ups, down.split(rank), strict=True)])
    return made, changes


def test_its_loras(folder, tmp_path):
    made, changes = their_lora()
    save_file(made, tmp_path / "cfg_step_lora.safetensors")
    model = load_checkpoint(folder, "fp32")
    changed = apply_loras(model, [f"{tmp_path / 'cfg_step_lora.safetensors'}:0.8"])
    after = longcat.to_longcat(changed.transformer.state_dict(), changed.transformer.config)
    before = golden.weights(golden.shapes())
    for name, change in changes.items():
        assert (after[f"{name}.weight"] - before[f"{name}.weight"] - 0.8 * change).abs().max() < 1e-5
    untouched = before.keys() - {f"{name}.weight" for name in changes}
    assert all(torch.equal(after[name], before[name]) for name in untouched)
    plan = Plan(size=golden.SIZE, frames=17, fps=15.0, seed=0, spans=(Span(text=PROMPT),))
    few, said = changed.few_steps.of(plan)
    assert (few.steps, few.guidance, few.shift, few.sampler) == (16, 1.0, None, None)
    assert (
        said
        == "cfg_step_lora.safetensors was made for few steps: --steps 16 --guidance 1, where you set none."
    )
    assert ContinuedDenoising(few, changed, {}).sampler.grid == 50
    assert ContinuedDenoising(replace(few, steps=50), changed, {}).sampler.grid == 0


def test_what_is_refused_by_its_name(folder, tmp_path):
    made, _ = their_lora(names=("blocks.0.attn.proj", "final_layer.linear"))
    save_file(made, tmp_path / "refinement_lora.safetensors")
    with pytest.raises(UserError, match="refinement"):
        apply_loras(load_checkpoint(folder, "fp32"), [str(tmp_path / "refinement_lora.safetensors")])
    values = json.loads((folder / "dit" / "config.json").read_text())
    with pytest.raises(UserError, match="block-sparse"):
        longcat.from_longcat_config(values | {"enable_bsa": True}, text_len=8)
    for key, value in (("patch_size", [2, 2, 2]), ("out_channels", 8), ("num_heads", 3)):
        with pytest.raises(UserError, match=key):
            longcat.from_longcat_config(values | {key: value}, text_len=8)
    avatar = tmp_path / "avatar"
    (avatar / "dit").mkdir(parents=True)
    text = json.dumps({"_class_name": "LongCatVideoAvatarTransformer3DModel"})
    (avatar / "dit" / "config.json").write_text(text)
    with pytest.raises(UserError, match="LongCat-Video-Avatar"):
        sorairo.load(avatar)
    with pytest.raises(UserError, match="LongCat-Video"):
        sorairo.load(folder / "dit" / "diffusion_pytorch_model.safetensors")


def test_what_is_pulled():
    names = [f"dit/diffusion_pytorch_model-0000{n}-of-00002.safetensors" for n in (1, 2)]
    names += ["dit/config.json", "vae/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors"]
    names += ["tokenizer/tokenizer.json", "scheduler/scheduler_config.json", "LICENSE"]
    loras = ["lora/cfg_step_lora.safetensors", "lora/refinement_lora.safetensors"]
    files = [RemoteFile(path=name, size=1, hash="") for name in (*names, *loras, "assets/video.mp4")]
    assert {file.path for file in choose(files, "meituan-longcat/LongCat-Video").files} == set(names)
    one = choose(files, "meituan-longcat/LongCat-Video", loras[0]).files
    assert [file.path for file in one] == loras[:1]


def test_clips_alone_cannot_teach_it(model):
    from sorairo.training.finetune import trainable

    with pytest.raises(UserError, match="more than noise and words"):
        trainable(model)
