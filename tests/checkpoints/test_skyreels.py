"""SkyReels-V2: the same latents as diffusers' pipelines, from words and with the first frame known."""

from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch
from PIL import Image

import sorairo
from sorairo.checkpoints.export import export
from sorairo.checkpoints.folder import load_checkpoint
from sorairo.generation.denoise import noise_for
from sorairo.generation.generate import Denoising, encode_texts, generate
from sorairo.types import Known, Plan, Span, Video
from tests.checkpoints.wan_folders import RELATIVES, SIZE, saved

PROMPT, FRAMES = "a red ball drops", 9
NAMES = [name for name in RELATIVES if name.startswith("skyreels")]
FORCED = [name for name in NAMES if "df" in name]


@pytest.fixture(scope="module")
def skyreels(tmp_path_factory):
    """name -> (diffusers' pipeline, our model, its folder)."""
    diffusers.utils.logging.set_verbosity_error()
    made = {}
    for name in NAMES:
        folder = tmp_path_factory.mktemp("skyreels") / name
        made[name] = saved(name, folder), sorairo.load(folder, "fp32"), folder
    return made


@pytest.fixture(autouse=True)
def no_ftfy(monkeypatch):
    for where in ("", "_diffusion_forcing", "_diffusion_forcing_i2v"):
        module = f"diffusers.pipelines.skyreels_v2.pipeline_skyreels_v2{where}"
        monkeypatch.setattr(f"{module}.prompt_clean", lambda text: text)


@pytest.fixture(autouse=True)
def own_samples(monkeypatch):
    """diffusers' diffusion-forcing pipelines give each frame's scheduler a view of the latents, which they overwrite
    before it corrects its first step by them. It is given a copy here."""
    scheduler = diffusers.UniPCMultistepScheduler
    step = scheduler.step

    def copied(self, output, timestep, sample, **how):
        return step(self, output, timestep, sample.clone(), **how)

    monkeypatch.setattr(scheduler, "step", copied)


def plan_for(model, **changes):
    whole = {"size": SIZE, "frames": FRAMES, "fps": 24.0, "spans": (Span(text=PROMPT),), "seed": 5}
    return Plan(**whole | {"guidance": 3.0, "negative": "blue", "steps": 4} | changes)


def theirs(pipe, plan, model, **given):
    with torch.no_grad():
        words, others = (
            pipe._get_t5_prompt_embeds([text], max_sequence_length=512) for text in (PROMPT, plan.negative)
        )
    return pipe(
        prompt=None,
        prompt_embeds=words,
        negative_prompt_embeds=others,
        width=SIZE[0],
        height=SIZE[1],
        num_frames=plan.frames,
        num_inference_steps=plan.steps,
        guidance_scale=plan.guidance,
        output_type="latent",
        **given,
    ).frames


@torch.inference_mode()
def made_of(plan, model):
    one = Denoising(plan, model, encode_texts([plan], model))
    one.run(lambda step, data: None)
    return one.latents


def close(made, want):
    assert made.shape == want.shape
    assert (made - want).abs().max() <= 1e-4 * want.abs().max()


@torch.inference_mode()
@pytest.mark.parametrize("name", NAMES)
def test_words(skyreels, name):
    pipe, model, _ = skyreels[name]
    plan = plan_for(model)
    given = {"generator": torch.Generator().manual_seed(plan.seed)}
    if name in FORCED:
        given |= {"fps": 24, "base_num_frames": 97}
    close(made_of(plan, model), theirs(pipe, plan, model, **given))


@torch.inference_mode()
@pytest.mark.parametrize("name", FORCED)
def test_the_first_frame(skyreels, name):
    pipe, model, _ = skyreels[name]
    pixels = np.random.default_rng(1).integers(0, 255, (1, SIZE[1], SIZE[0], 3), dtype=np.uint8)
    plan = plan_for(model, known=(Known(video=Video(frames=pixels, fps=24.0)),))
    forced = diffusers.SkyReelsV2DiffusionForcingImageToVideoPipeline(**pipe.components)
    forced.set_progress_bar_config(disable=True)
    given = {"image": Image.fromarray(pixels[0]), "latents": noise_for(plan, model.codec)}
    want = theirs(forced, plan, model, fps=24, base_num_frames=97, **given)
    made = made_of(plan, model)
    close(made[:, :, 1:], want[:, :, 1:])
    sample = generate(plan, model)[0]
    assert np.array_equal(sample.video.frames[:1], pixels)
    assert not any("blended in" in note for note in sample.notes)


@torch.inference_mode()
def test_the_rate_counts(skyreels):
    _, model, _ = skyreels["skyreels-v2-df"]
    slower = replace(model, info=replace(model.info, fps=16.0))
    plan = plan_for(model)
    assert not torch.equal(made_of(plan, model), made_of(replace(plan, fps=16.0), slower))


@pytest.mark.parametrize("name", NAMES)
def test_the_same_from_every_layout(skyreels, name, tmp_path):
    pipe, model, folder = skyreels[name]
    assert model.info.conditioning == (("levels",) if name in FORCED else ())
    assert (model.info.fps, model.info.default_guidance) == (24.0, 6.0)
    export(folder, tmp_path / "original", "original")
    weights = tmp_path / "original" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("model.safetensors"))  # as its authors call it
    export(tmp_path / "original", tmp_path / "diffusers", "diffusers")
    want = made_of(plan_for(model), model)
    for layout in ("original", "diffusers"):
        other = load_checkpoint(tmp_path / layout, "fp32")
        assert torch.equal(made_of(plan_for(model), other), want), layout
    export(folder, tmp_path / "again", "diffusers")
    opened = type(pipe).from_pretrained(tmp_path / "again")
    assert type(opened.transformer) is type(pipe.transformer)
