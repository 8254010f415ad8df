"""Helios' folder, as diffusers saves it: the same latents chunk after chunk, from words, a picture and a clip."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

import sorairo
from sorairo.checkpoints.export import export
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.checkpoints.lora import apply_loras
from sorairo.flow.pyramid import Pyramid, enlarged
from sorairo.flow.samplers import sampler_named, shift_of_tokens
from sorairo.generation.denoise import levels_of
from sorairo.generation.generate import encode_texts, generate, stream
from sorairo.generation.memory import RememberedDenoising
from sorairo.pixels import from_frames
from sorairo.types import Known, Plan, Span, UserError, Video
from tests.checkpoints.wan_folders import saved

SIZE, PROMPT = (64, 32), "a red ball drops"
# diffusers' schedulers of Helios give numpy tensors
pytestmark = pytest.mark.filterwarnings("ignore:__array_wrap__ must accept:DeprecationWarning")


@pytest.fixture(scope="module")
def helios(tmp_path_factory):
    """(diffusers' pipeline, our model, its folder)."""
    diffusers.utils.logging.set_verbosity_error()
    folder = tmp_path_factory.mktemp("helios") / "m"
    return saved("helios", folder), sorairo.load(folder, "fp32"), folder


@pytest.fixture(autouse=True)
def no_ftfy(monkeypatch):
    monkeypatch.setattr("diffusers.pipelines.helios.pipeline_helios.prompt_clean", lambda text: text)


def plan_for(**changes):
    whole = {"size": SIZE, "frames": 65, "fps": 24.0, "spans": (Span(text=PROMPT),), "seed": 5}
    return Plan(**whole | {"guidance": 3.0, "negative": "blue", "steps": 2} | changes)


def frames(count, seed=1):
    pixels = np.random.default_rng(seed).integers(0, 255, (count, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    return Video(frames=pixels, fps=24.0)


def theirs(pipe, plan, **given):
    """Latents of all that was made, and before it what was known."""
    with torch.no_grad():
        words, others = (
            pipe._get_t5_prompt_embeds([text], max_sequence_length=512)[0] for text in (PROMPT, plan.negative)
        )
    return pipe(
        prompt_embeds=words,
        negative_prompt_embeds=others,
        width=SIZE[0],
        height=SIZE[1],
        num_inference_steps=plan.steps,
        guidance_scale=plan.guidance,
        generator=torch.Generator().manual_seed(plan.seed),
        output_type="latent",
        **given,
    ).frames


@torch.inference_mode()
def made_of(plan, model, monkeypatch):
    """Latents of all chunks."""
    chunks = []
    one = RememberedDenoising(plan, model, encode_texts([plan], model))
    decode = model.codec.decode
    with monkeypatch.context() as patch:
        patch.setattr(model.codec, "decode", lambda latents: chunks.append(latents) or decode(latents))
        one.run(lambda step, data: None)
    return torch.cat(chunks, dim=2)


def close(made, want):
    assert made.shape == want.shape
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()


@torch.inference_mode()
def test_words(helios, monkeypatch):
    pipe, model, _ = helios
    plan = plan_for()
    close(made_of(plan, model, monkeypatch), theirs(pipe, plan, num_frames=66))


@torch.inference_mode()
def test_another_solver_keeps_the_shift_by_tokens(helios):
    """Without it --sampler set the shift back to 1, where none was asked for."""
    _, model, _ = helios
    for name in ("euler", "unipc", "dpm++", "lcm"):
        plan = plan_for(sampler=name, steps=4)
        side = model.codec.config.space_factor * 2
        shift = shift_of_tokens(model.info.chunk * SIZE[0] * SIZE[1] // side**2, model.sampler.by_tokens)
        assert levels_of(plan, model) == sampler_named(name).sigmas(4, shift)
        assert levels_of(replace(plan, shift=5.0), model) == sampler_named(name).sigmas(4, 5.0)


def test_a_picture(helios, monkeypatch):
    pipe, model, _ = helios
    picture = frames(1)
    plan = plan_for(frames=34, known=(Known(video=picture),))
    pixels = from_frames(picture.frames)
    still = model.codec.encode(pixels.expand(-1, -1, 33, -1, -1))[:, :, -1:]
    given = {"image_latents": model.codec.encode(pixels), "fake_image_latents": still}
    want = theirs(pipe, plan, num_frames=33, **given)
    close(made_of(plan, model, monkeypatch), want[:, :, 1:])  # theirs begins with the picture


@torch.inference_mode()
def test_a_clip(helios, monkeypatch):
    pipe, model, _ = helios
    clip = frames(40)
    plan = plan_for(frames=73, known=(Known(video=clip),))
    pixels = from_frames(clip.frames)
    given = {
        "image_latents": model.codec.encode(pixels[:, :, :1]),
        "video_latents": model.codec.encode(pixels[:, :, -33:]),
        "add_noise_to_image_latents": False,  # with a clip theirs adds it among the clip's
    }
    want = theirs(pipe, plan, num_frames=33, **given)
    close(made_of(plan, model, monkeypatch), want[:, :, -9:])


def test_verbs_that_begin_and_those_that_do_not(helios):
    _, model, _ = helios
    clip, settings = frames(20), {"steps": 1, "guidance": 1.0, "size": SIZE}
    longer = model.extend(clip, PROMPT, frames=40, **settings).video
    assert len(longer) == 60 and np.array_equal(longer.frames[:20], clip.frames)
    moving = model.animate(frames(1), PROMPT, frames=9, **settings).video
    assert len(moving) == 9 and np.array_equal(moving.frames[:1], frames(1).frames)
    board = plan_for(steps=1, spans=(Span(text=PROMPT), Span(text="a blue cube", start=33)))
    assert len(generate(board, model)[0].video) == 65
    for refused in (
        lambda: model.connect(frames(1), frames(1, 2), PROMPT, **settings),
        lambda: model.edit(clip, PROMPT, **settings),
        lambda: model.extend(clip, PROMPT, before=True, **settings),
        lambda: model.loop(clip, PROMPT, **settings),
    ):
        with pytest.raises(UserError, match=r"at the beginning|from their beginning"):
            refused()


def test_streamed(helios):
    _, model, _ = helios
    plan = plan_for(steps=1)
    pieces = [piece.frames for piece in stream(plan, model)]
    assert [len(piece) for piece in pieces] == [33, 32]
    assert np.array_equal(np.concatenate(pieces), generate(plan, model)[0].video.frames)


def test_saved_again_and_loras(helios, tmp_path, monkeypatch):
    from safetensors.torch import load_file, save_file

    _, model, folder = helios
    export(folder, tmp_path / "again", "diffusers")
    file = "transformer/diffusion_pytorch_model.safetensors"
    before, after = (load_file(path / file) for path in (folder, tmp_path / "again"))
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    pipe = diffusers.HeliosPipeline.from_pretrained(tmp_path / "again")
    assert pipe.scheduler.config.use_dynamic_shifting
    plan = plan_for(frames=33, steps=1)
    want = made_of(plan, model, monkeypatch)
    other = load_checkpoint(tmp_path / "again", "fp32")
    assert torch.equal(made_of(plan, other, monkeypatch), want)
    with pytest.raises(UserError, match="is no Wan"):
        export(folder, tmp_path / "original", "original")
    name = "transformer.blocks.1.attn1.to_q"
    halves = {"lora_A": torch.randn(4, 32), "lora_B": torch.randn(32, 4)}
    save_file({f"{name}.{half}.weight": t for half, t in halves.items()}, tmp_path / "style.safetensors")
    changed = apply_loras(other, [f"{tmp_path / 'style.safetensors'}:0.5"])
    made = changed.transformer.blocks[1].self_attention.q.weight
    want = before["blocks.1.attn1.to_q.weight"] + 0.5 * halves["lora_B"] @ halves["lora_A"]
    assert (made - want).abs().max() <= 1e-5


@torch.inference_mode()
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_distilled_in_a_pyramid(tmp_path, monkeypatch, guidance):
    """Helios-Distilled: three sizes, two steps at each, twice as many for the first chunk. gamma is 0.33 here, since at
    its usual 1/3 diffusers cannot draw noise on a CPU; see the next test."""
    monkeypatch.setattr("diffusers.pipelines.helios.pipeline_helios_pyramid.prompt_clean", lambda text: text)
    diffusers.utils.logging.set_verbosity_error()
    pipe = saved("helios-distilled", tmp_path / "m")
    model = sorairo.load(tmp_path / "m", "fp32")
    size = (128, 64)
    plan = plan_for(size=size, steps=None, guidance=guidance)
    model = replace(model, info=replace(model.info, default_steps=6))
    with torch.no_grad():
        words, others = (
            pipe._get_t5_prompt_embeds([text], max_sequence_length=512)[0] for text in (PROMPT, plan.negative)
        )
    want = pipe(
        prompt_embeds=words,
        negative_prompt_embeds=others,
        width=size[0],
        height=size[1],
        num_frames=66,
        pyramid_num_inference_steps_list=[2, 2, 2],
        is_amplify_first_chunk=True,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(plan.seed),
        output_type="latent",
    ).frames
    close(made_of(plan, model, monkeypatch), want)
    for wrong in ((80, 64), (96, 64)):  # the second is among the sizes that its sorairo.json names
        with pytest.raises(UserError, match="multiples of 64"):
            model.abilities.check(replace(plan, size=wrong))
    for asked in (
        {"sampler": "euler"},
        {"shift": 5.0},
    ):  # one left the pyramid in silence, one changed nothing
        with pytest.raises(UserError, match="its own noise levels"):
            model.abilities.check(replace(plan, **asked))
    export(tmp_path / "m", tmp_path / "again", "diffusers")
    again = load_checkpoint(tmp_path / "again", "fp32")
    assert again.sampler == model.sampler
    assert diffusers.HeliosPyramidPipeline.from_pretrained(tmp_path / "again").config.is_distilled


def test_noise_at_a_new_size_opposes_its_neighbours():
    """At the usual 1/3 the noise of a patch sums to nothing, and its values have the deviation 1."""
    noises = torch.Generator().manual_seed(0)
    pyramid = Pyramid()
    kept, new = pyramid.mix(1)
    made = enlarged(torch.zeros(1, 2, 3, 32, 32), pyramid, 1, 2, noises) / new
    assert made.shape == (1, 2, 3, 64, 64) and 0 < kept < 1
    assert abs(made.std() - 1) < 0.02
    sums = torch.nn.functional.avg_pool2d(made[0], 2)
    assert sums.abs().max() < 1e-3


def test_the_middle_of_its_distillation_is_refused_by_its_name(tmp_path):
    import json

    saved("helios-distilled", tmp_path / "m")
    where = tmp_path / "m" / "model_index.json"
    where.write_text(json.dumps(json.loads(where.read_text()) | {"is_distilled": False}))
    with pytest.raises(UserError, match="Helios-Mid"):
        sorairo.load(tmp_path / "m")


def test_a_transformer_of_its_training_is_not_pulled():
    from sorairo.checkpoints.hub.choose import RemoteFile, choose

    names = [
        f"{part}/diffusion_pytorch_model.safetensors" for part in ("transformer", "transformer_ode", "vae")
    ]
    files = [RemoteFile(path=name, size=1, hash="") for name in ("model_index.json", *names)]
    chosen = [file.path for file in choose(files, "BestWishYsh/Helios-Distilled").files]
    assert chosen == ["model_index.json", names[0], names[2]]


def test_clips_alone_cannot_teach_it(helios):
    from sorairo.training.finetune import trainable

    with pytest.raises(UserError, match="more than noise and words"):
        trainable(helios[1])
