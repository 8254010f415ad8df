"""The same folder in diffusers.WanPipeline makes the same frames from the same noise."""

import warnings

import numpy as np
import pytest
import torch

import sorairo
from sorairo.generation.denoise import noise_for
from sorairo.generation.generate import generate
from sorairo.tasks.ask import Ask
from sorairo.tasks.text_to_video import text_to_video

PROMPT = "A red  ball drops onto the floor &amp; bounces."


def psnr(a, b):
    return 10 * np.log10(255**2 / max(np.mean((a.astype(float) - b.astype(float)) ** 2), 1e-9))


@pytest.fixture(scope="module", params=["tiny_folder", "tiny_local_folder", "tiny_data_folder"])
def folder(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="module")
def pipeline(folder):
    import diffusers

    import sorairo.diffusers  # noqa: F401  # without it diffusers refuses a class that is not its own

    diffusers.utils.logging.set_verbosity_error()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = diffusers.WanPipeline.from_pretrained(folder, torch_dtype=torch.float32)
    loaded.set_progress_bar_config(disable=True)
    return loaded


@pytest.mark.parametrize(("guidance", "size", "frames"), [(4.0, (64, 64), 9), (1.0, (96, 64), 1)])
def test_same_frames(folder, pipeline, guidance, size, frames):
    model = sorairo.load(folder, "fp32")
    ask = Ask(size=size, frames=frames, seed=5, steps=8, guidance=guidance, negative="blue")
    plan = text_to_video(PROMPT, model.abilities, ask)
    ours = generate(plan, model)[0].video.frames
    theirs = pipeline(
        PROMPT,
        negative_prompt="blue",
        width=size[0],
        height=size[1],
        num_frames=frames,
        num_inference_steps=8,
        guidance_scale=guidance,
        latents=noise_for(plan, model.codec),
        max_sequence_length=model.info.text_len,
    ).frames[0]
    theirs = (theirs * 255).round().astype(np.uint8)
    assert ours.shape == theirs.shape
    assert ours.std() > 5  # there is something to see
    assert psnr(ours, theirs) > 45
