"""ComfyUI's template for Wan 2.2 image to video, whole: the files as people have them, by the command line."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from typer.testing import CliRunner

import sorairo
from sorairo.checkpoints.lora import apply_loras
from sorairo.cli.main import app
from tests.checkpoints.test_comfy_files import comfy_set


@pytest.mark.slow
def test_the_template_of_wan_22_image_to_video(tmp_path):
    """A picture, two experts in scaled fp8, a LightX2V LoRA for each, wan_2.1_vae, umT5 in scaled fp8, a square: the
    LoRAs' names bring four steps, and the frames are those of diffusers' folder with these numbers given by hand."""
    names = [f"wan2.2_i2v_{which}_noise_14B_fp8_scaled" for which in ("high", "low")]
    folder, models = comfy_set(tmp_path, "wan2.2-i2v-a14b", *names)
    (models / "loras").mkdir()
    loras = []
    for which in ("high", "low"):
        torch.manual_seed(len(which))
        path = models / "loras" / f"wan2.2_i2v_lightx2v_4steps_lora_v1_{which}_noise.safetensors"
        halves = {"lora_down": torch.randn(2, 128), "lora_up": 3 * torch.randn(128, 2)}
        stem = "diffusion_model.blocks.0.self_attn.q"
        save_file({f"{stem}.{half}.weight": tensor for half, tensor in halves.items()}, path)
        loras.append(f"{which}={path}")
    Image.new("RGB", (64, 64), (200, 60, 40)).save(tmp_path / "cat.png")

    words = ["animate", str(tmp_path / "cat.png"), "It turns its head.", "--model", str(models)]
    words += [part for lora in loras for part in ("--lora", lora)]
    words += ["--size", "64x64", "--frames", "5", "--seed", "1", "--dtype", "fp32", "--json"]
    done = CliRunner().invoke(app, [*words, "-o", str(tmp_path / "cat.mp4")])
    assert done.exit_code == 0, (done.output, done.exception)
    plan = json.loads(done.stdout)["plan"]
    assert (plan["steps"], plan["guidance"], plan["shift"], plan["sampler"]) == (4, 1.0, 5.0, "euler")
    assert "was made for few steps" in done.stderr

    def frames(model, loras):  # before a video file, which changes levels
        made = apply_loras(sorairo.load(model, dtype="fp32"), tuple(loras), strict=True)
        clip = made.animate(
            tmp_path / "cat.png", "It turns its head.", size="64x64", frames=5, seed=1,
            steps=4, guidance=1.0, shift=5.0, sampler="euler",
        )  # fmt: skip
        return clip.video.frames.astype(int)

    ours, theirs, without = frames(models, loras), frames(folder, loras), frames(folder, [])
    apart = np.abs(ours - theirs)
    assert apart.max() <= 1 and (apart > 0).mean() < 0.001  # levels that lie between two
    assert np.abs(ours - without).max() > 3
