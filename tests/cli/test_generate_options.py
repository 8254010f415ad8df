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
    assert run(tiny_folder, tmp_path, "--lora", odd, "--lora-loose").exit_code == 0
    for wrong in (["--lora", odd], ["--lora", "none.safetensors"], ["--lora", f"{lora}:much"]):
        done = run(tiny_folder, tmp_path, *wrong)
        assert isinstance(done.exception, ValueError)


def test_cache_and_memory(tiny_folder, tmp_path):
    done = run(tiny_folder, tmp_path, "--cache", "0.2", "--steps", "8", "--memory", "2GB", "--frames", "5")
    assert done.exit_code == 0, done.output
    assert "all weights stay in memory" in done.stderr, done.stderr
    for wrong in (["--cache", "-1"], ["--memory", "much"], ["--memory", "1MB"]):
        done = run(tiny_folder, tmp_path, *wrong)
        assert isinstance(done.exception, ValueError), (wrong, done.exception, done.output)
