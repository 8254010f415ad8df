"""LoRAs, caching and a limit of memory, from the command line."""

import json

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from sorairo.cli.main import app

PROMPT = "a red ball drops"


def run(tiny_folder, tmp_path, *options):
    words = [
        "generate",
        PROMPT,
        "--model",
        str(tiny_folder),
        "--seed",
        "1",
        "--json",
        "-o",
        str(tmp_path / "out.mp4"),
    ]
    return CliRunner().invoke(app, [*words, *options])


@pytest.fixture
def lora(tmp_path):
    changes = {"diffusion_model.head.head.diff_b": torch.ones(32)}
    save_file(changes | {"odd": torch.zeros(1)}, tmp_path / "odd.safetensors")
    save_file(changes, tmp_path / "ball.safetensors")
    return tmp_path / "ball.safetensors"


def test_loras(tiny_folder, tmp_path, lora):
    done = run(tiny_folder, tmp_path, "--lora", f"{lora}:0.5", "--lora", str(lora))
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["model"] == "tiny + ball:0.5 + ball:1"
    odd = str(tmp_path / "odd.safetensors")
    loose = run(tiny_folder, tmp_path, "--lora", odd, "--lora-loose")
    assert loose.exit_code == 0 and "odd" in loose.stderr.split("left out")[-1], loose.stderr
    for wrong in (["--lora", odd], ["--lora", "none.safetensors"], ["--lora", f"{lora}:much"]):
        done = run(tiny_folder, tmp_path, *wrong)
        assert isinstance(done.exception, ValueError)


def test_a_lora_of_few_steps_brings_its_settings_and_says_so(tiny_folder, tmp_path, lora):
    few = lora.rename(tmp_path / "wan2.2_t2v_lightx2v_4steps_lora.safetensors")
    done = run(tiny_folder, tmp_path, "--lora", str(few), "--frames", "5")
    assert done.exit_code == 0, done.output
    assert "--steps 4 --guidance 1 --shift 5 --sampler euler, where you set none" in done.stderr
    plan = json.loads(done.stdout)["plan"]
    assert (plan["steps"], plan["guidance"], plan["shift"], plan["sampler"]) == (4, 1.0, 5.0, "euler")
    own = run(
        tiny_folder, tmp_path, "--lora", str(few), "--frames", "5", "--shift", "3", "--sampler", "unipc"
    )
    plan = json.loads(own.stdout)["plan"]
    assert (plan["steps"], plan["shift"], plan["sampler"]) == (4, 3.0, "unipc")


def test_cache_and_memory(tiny_folder, tmp_path):
    done = run(tiny_folder, tmp_path, "--cache", "0.2", "--steps", "8", "--memory", "2GB", "--frames", "5")
    assert done.exit_code == 0, done.output
    assert "all weights stay in memory" in done.stderr, done.stderr
    for wrong in (["--cache", "-1"], ["--memory", "much"], ["--memory", "1MB"]):
        done = run(tiny_folder, tmp_path, *wrong)
        assert isinstance(done.exception, ValueError), (wrong, done.exception, done.output)
