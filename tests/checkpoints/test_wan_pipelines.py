"""Each family's folder, as diffusers saves it, makes the same frames here as there, from the same noise."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

import sorairo
from sorairo.checkpoints.export import export
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.layouts import info_of
from sorairo.checkpoints.lora import apply_loras
from sorairo.config import to_json
from sorairo.generation.denoise import noise_for
from sorairo.generation.generate import Denoising, encode_texts, generate
from sorairo.pixels import to_frames
from sorairo.types import Known, Plan, Span, UserError, Video
from tests.checkpoints.wan_folders import FAMILIES, FRAMES, SIZE, saved

PROMPT = "A red  ball drops &amp; rolls"


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """(name, diffusers' pipeline, our model of the folder that it saved)."""
    import diffusers

    diffusers.utils.logging.set_verbosity_error()
    folder = tmp_path_factory.mktemp("wan") / request.param
    pipe = saved(request.param, folder)
    return request.param, pipe, sorairo.load(folder, "fp32")


def picture(seed):
    return np.random.default_rng(seed).integers(0, 255, (SIZE[1], SIZE[0], 3), dtype=np.uint8)


def plan_for(model, **changes):
    stills = {"first": (0, picture(1)), "last": (FRAMES - 1, picture(2))}
    known = tuple(
        Known(video=Video(frames=frame[None], fps=model.info.fps), at=at)
        for at, frame in (stills[end] for end in model.info.needs or model.info.conditioning if end in stills)
    )
    whole = {
        "size": SIZE,
        "frames": FRAMES,
        "fps": model.info.fps,
        "spans": (Span(text=PROMPT),),
        "seed": 5,
        "guidance": 3.0,
        "negative": "blue",
        "known": known,
    }
    return Plan(**whole | changes)


def theirs(pipe, plan, model, **more):
    """Frames in 0..1 (t h w c) of the pipeline; the words' states are its own."""
    with torch.no_grad():
        words, others = (
            pipe._get_t5_prompt_embeds([text], max_sequence_length=512)
            for text in (PROMPT.replace("  ", " ").replace("&amp;", "&"), plan.negative)
        )
    stills = [Image.fromarray(known.video.frames[0]) for known in plan.known]
    given = dict(zip(("image", "last_image"), stills, strict=False))
    return pipe(
        **given,
        prompt_embeds=words,
        negative_prompt_embeds=others,
        width=SIZE[0],
        height=SIZE[1],
        num_frames=FRAMES,
        num_inference_steps=8,
        guidance_scale=model.info.default_guidance if plan.guidance is None else plan.guidance,
        guidance_scale_2=model.info.low_noise_guidance if plan.guidance is None else None,
        latents=noise_for(plan, model.codec),
        **more,
    ).frames[0]


@pytest.fixture(autouse=True)
def no_ftfy(monkeypatch):
    """diffusers' image-to-video pipeline cleans words with ftfy without asking whether it is there."""
    from diffusers.pipelines.wan import pipeline_wan_i2v, pipeline_wan_vace

    monkeypatch.setattr(pipeline_wan_i2v, "prompt_clean", lambda text: text)
    monkeypatch.setattr(pipeline_wan_vace, "prompt_clean", lambda text: text)


@torch.inference_mode()
def denoised(plan, model):
    one = Denoising(plan, model, encode_texts([plan], model))
    one.run(lambda step, data: None)
    return one


@torch.inference_mode()
def test_same_frames(family):
    """What the model makes, that is: what is known is then put over it."""
    name, pipe, model = family
    plan = plan_for(model)
    want = theirs(pipe, plan, model)
    made = to_frames(model.codec.decode(denoised(plan, model).latents))[0]
    assert made.shape == want.shape and want.std() > 0.02, name
    assert np.abs(made / 255 - want).max() <= 0.5 / 255 + 1e-4


def test_a_scale_for_each_of_two_transformers(tmp_path):
    pipe = saved("wan2.2-t2v-a14b", tmp_path / "m")
    model = sorairo.load(tmp_path / "m", "fp32")
    assert (model.info.default_guidance, model.info.low_noise_guidance) == (4.0, 3.0)
    # words hardly move what has random weights: the two are set further apart, and latents compared
    model = replace(model, info=replace(model.info, default_guidance=30.0, low_noise_guidance=2.0))
    want = theirs(pipe, plan_for(model, guidance=None), model, output_type="latent")
    scale = want.abs().max()
    for guidance, same in ((None, True), (30.0, False), (2.0, False)):  # said, it is of both
        film = denoised(plan_for(model, guidance=guidance), model)
        error = (film.latents[0] - want).abs().max() / scale
        assert (error < 1e-4) if same else (error > 1e-3), (guidance, error)


def test_given_pictures_are_kept(family):
    _, _, model = family
    plan = plan_for(model, steps=2)
    made = generate(plan, model)[0]
    assert not made.notes and len(made.video) == FRAMES
    for known in plan.known:
        assert np.array_equal(made.video.frames[known.at], known.video.frames[0])


def test_same_words(family):
    name, pipe, model = family
    with torch.no_grad():
        want = pipe._get_t5_prompt_embeds(["a red ball", ""], max_sequence_length=512)
    states, lengths = model.text.encode(["a red ball", ""])
    assert (states - want).abs().max() < 1e-4 * want.abs().max()
    assert lengths.tolist() == [4, 1] and model.text.max_length == 512, name


def test_pictures_that_are_needed_or_cannot_be_taken(family):
    _, _, model = family
    stray = Known(video=Video(frames=picture(0)[None], fps=model.info.fps), at=2)
    if model.info.needs:
        with pytest.raises(UserError, match="starts from pictures; give it the first"):
            generate(plan_for(model, known=()), model)
        with pytest.raises(UserError, match="one frame at a time"):
            generate(plan_for(model, known=(*plan_for(model).known, stray)), model)
        with pytest.raises(UserError, match="with one text"):
            generate(plan_for(model, loop=True), model)


def test_what_the_configuration_says(family):
    name, _, model = family
    ends = {"wan2.1-flf2v": ("first", "last"), "wan2.1-t2v": (), "wan2.2-t2v-a14b": (), "wan2.1-vace": ()}
    assert model.info.needs == ends.get(name, () if name == "wan2.2-ti2v" else ("first",))
    assert model.info.fps == (24.0 if name == "wan2.2-ti2v" else 16.0)


def test_memory_that_is_short(tmp_path, monkeypatch):
    """Words and the expert that waits are let go, and the frames are the same."""
    from sorairo.checkpoints import folder as loading

    saved("wan2.2-t2v-a14b", tmp_path / "m")
    roomy = sorairo.load(tmp_path / "m", "fp32")
    plan = plan_for(roomy)
    want = generate(plan, roomy)[0].video.frames
    assert set(roomy.transformer.held) == {"high", "low"} and roomy.text._model is not None
    monkeypatch.setattr(loading, "available_memory", lambda device: 1000)
    tight = sorairo.load(tmp_path / "m", "fp32")
    made = generate([plan, plan], tight)
    assert all(np.array_equal(clip.video.frames, want) for clip in made)
    assert set(tight.transformer.held) == {"low"} and tight.text._model is None


def test_held_leanly_it_makes_the_same_clip(tmp_path):
    """Both experts and umT5 leave their blocks in their files; what is done with is let go."""
    saved("wan2.2-i2v-a14b", tmp_path / "m")
    whole = sorairo.load(tmp_path / "m", "fp32")
    lean = load_checkpoint(tmp_path / "m", "fp32", stream=True, pieces=True, keep=False)
    plan = plan_for(whole, steps=4)
    want, made = (generate(plan, model)[0].video.frames.astype(int) for model in (whole, lean))
    assert np.abs(made - want).max() <= 1  # decoded piece by piece
    assert list(lean.transformer.held) == ["low"] and lean.text._model is None
    assert all(p.is_meta for p in lean.transformer.at("low").blocks.parameters())
    words = lean.text.load()
    assert all(p.is_meta for p in words.block.parameters()) and not words.embed_tokens.weight.is_meta
    norm = tmp_path / "norm.safetensors"
    save_file({"diffusion_model.blocks.0.norm3.diff": torch.randn(32)}, norm)
    with pytest.raises(UserError, match="streamed blocks cannot take"):
        apply_loras(lean, [f"low={norm}"])


def test_shards_make_the_same_model(tmp_path):
    saved("wan2.1-t2v", tmp_path / "one")
    saved("wan2.1-t2v", tmp_path / "many", max_shard_size="40KB")
    assert len(list((tmp_path / "many" / "transformer").glob("*.safetensors"))) > 2
    one, many = (sorairo.load(tmp_path / name, "fp32") for name in ("one", "many"))
    plan = plan_for(one, steps=1)
    assert np.array_equal(generate(plan, one)[0].video.frames, generate(plan, many)[0].video.frames)


def test_faults_are_named(tmp_path):
    folder = tmp_path / "m"
    saved("wan2.2-i2v-a14b", folder)
    index = json.loads((folder / "model_index.json").read_text())

    def refused(match, **changes):
        (folder / "model_index.json").write_text(json.dumps(index | changes))
        with pytest.raises(UserError, match=match):
            sorairo.load(folder)

    refused("belong together", boundary_ratio=None)
    refused("FluxPipeline; only WanPipeline,", _class_name="FluxPipeline")
    refused("text_encoder is of class T5EncoderModel", text_encoder=["transformers", "T5EncoderModel"])
    refused("scheduler is of class Euler", scheduler=["diffusers", "Euler"])
    (folder / "transformer_2").rename(tmp_path / "away")
    refused("transformer_2/ is missing")


def few_steps(name, folder):
    """A family's folder under the class name that FastVideo gives its models of few steps."""
    saved(name, folder)
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"_class_name": "WanDMDPipeline"}))
    (folder / "sorairo.json").unlink()
    small = replace(info_of(folder), sizes=(SIZE,), max_frames=17, default_frames=FRAMES)
    to_json(small, folder / "sorairo.json")
    return sorairo.load(folder, "fp32")


def test_few_steps_with_fresh_noise_at_each(tmp_path):
    model = few_steps("wan2.1-t2v", tmp_path / "m")
    assert (model.info.default_steps, model.info.default_guidance) == (3, 1.0)
    plan = plan_for(model, guidance=None)
    latents = [denoised(one, model).latents for one in (plan, plan, replace(plan, seed=6))]
    assert torch.equal(latents[0], latents[1]) and not torch.allclose(latents[0], latents[2])

    noises = torch.Generator().manual_seed(plan.seed)
    with torch.inference_mode():
        words, lengths = model.text.encode([PROMPT])
        x = noise = torch.randn(1, 4, 2, 8, 12, generator=noises)
        for time, after in ((1000, 0.757), (757, 0.522), (522, 0.0)):
            x = x - time / 1000 * model.transformer(x, torch.tensor([float(time)]), words, lengths)
            noise = torch.randn(noise.shape, generator=noises) if after else noise
            x = (1 - after) * x + after * noise
    assert (latents[0] - x).abs().max() < 1e-4 * x.abs().max()
    with pytest.raises(UserError, match="made for 3 steps, not 8; ask for those"):
        generate(replace(plan, steps=8), model)


def test_few_steps_keep_the_first_frame(tmp_path):
    model = few_steps("wan2.2-ti2v", tmp_path / "m")
    plan = plan_for(model, guidance=None)
    timeline = denoised(plan, model)
    known = timeline._inputs(timeline.windows[0], torch.empty(0))[0].latents
    assert torch.allclose(timeline.latents[:, :, 0], known[:, :, 0], atol=1e-4)
    assert not torch.allclose(timeline.latents[:, :, 1], known[:, :, 1], atol=0.1)


def test_few_steps_in_the_other_layout(tmp_path):
    model = few_steps("wan2.1-t2v", tmp_path / "m")
    export(tmp_path / "m", tmp_path / "original", "original")
    export(tmp_path / "original", tmp_path / "back", "diffusers")
    want = denoised(plan_for(model), model).latents
    for name in ("original", "back"):
        other = sorairo.load(tmp_path / name, "fp32")
        assert other.times == (1000, 757, 522)
        assert torch.equal(denoised(plan_for(other), other).latents, want)


def test_sparse_attention_is_named(tmp_path):
    few_steps("wan2.1-t2v", tmp_path / "m")
    where = tmp_path / "m" / "transformer" / "diffusion_pytorch_model.safetensors"
    gate = {"blocks.0.to_gate_compress.weight": torch.zeros(2)}
    save_file(load_file(where) | gate, where)
    with pytest.raises(UserError, match="attends sparsely"):
        sorairo.load(tmp_path / "m")


def test_loras_of_two_transformers(tmp_path):
    """One for both and one for each, beside diffusers' transformers changed by hand; also when they are read again."""
    pipe = saved("wan2.2-t2v-a14b", tmp_path / "m")
    model, asks = sorairo.load(tmp_path / "m", "fp32"), []
    plain = theirs(pipe, plan_for(model), model, output_type="latent")
    high, low = pipe.transformer, pipe.transformer_2
    for expert, transformers in (("", (high, low)), ("high=", (high,)), ("low=", (low,))):
        down, up = 0.3 * torch.randn(2, 32), 0.3 * torch.randn(32, 2)
        path = tmp_path / f"{expert.strip('=') or 'both'}.safetensors"
        name = "blocks.1.attn1.to_v"
        save_file({f"{name}.lora_A.weight": down, f"{name}.lora_B.weight": up}, path)
        for transformer in transformers:
            transformer.get_submodule(name).weight.data += 0.5 * up @ down
        asks.append(f"{expert}{path}:0.5")
    for how in ({}, {"keep": False}, {"keep": False, "stream": True}):
        model = load_checkpoint(tmp_path / "m", "fp32", **how)
        changed = apply_loras(model, asks)
        assert changed.info.name == "m + both:0.5 + high=high:0.5 + low=low:0.5"
        plan = plan_for(changed)
        want = theirs(pipe, plan, changed, output_type="latent")
        assert (want - plain).abs().max() > 0.01 * want.abs().max()
        for _ in range(2):
            error = (denoised(plan, changed).latents[0] - want).abs().max()
            assert error < 1e-4 * want.abs().max(), how
