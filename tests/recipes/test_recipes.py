"""Every recipe trains a step and ends in what its users load, on data of its own kind, tiny; and says its command."""

import re
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from sorairo.checkpoints.folder import find_folder, load_checkpoint, load_codec
from sorairo.checkpoints.layouts import decoder_source
from sorairo.codec.model import Codec
from sorairo.codec.presets import PRESETS
from sorairo.data.captions.trained import Trained
from sorairo.data.latents import KINDS
from sorairo.data.maps import KINDS_MAPPED
from sorairo.data.shards import write_shard
from sorairo.scenes.tracks import CHANNELS, POSITIONS
from sorairo.training.loop import train
from sorairo.training.recipes import Recipe, load_recipe
from sorairo.types import UserError, Video
from sorairo.upscale.apply import load_upscaler
from sorairo.upscale.network import halved
from sorairo.video import write_video
from sorairo.worlds.templates import CAMERA_WORDS, HELDOUT_WORDS

ROOT = Path(__file__).parents[2]
RUNS = (
    "tiny",
    "codec_default",
    "default",
    "few_steps",
    "own_clips",
    "upscaler",
    "captioner",
    "circles",
    "scene",
    "small_decoder",
)


def recipe(name: str) -> Recipe:
    return load_recipe(name, ROOT / "recipes")


def one_step(name: str, run: Path) -> Path:
    """The recipe's own objective and settings, one step of them; returns the export."""
    objective, config = recipe(name).build(run)
    config = replace(config, steps=1, sample_every=0, tensorboard=False, compile=False, dtype="fp32")
    outcome = train(objective, config, run)
    assert (outcome.step, outcome.reason) == (1, "done")
    return run / "export"


def films(count: int, frames: int, side: int) -> torch.Tensor:
    """uint8 n t h w 3: a square of some colour moves over a soft ground."""
    rng = np.random.default_rng(0)
    clips = np.empty((count, frames, side, side, 3), np.uint8)
    for clip in clips:
        clip[:] = rng.integers(60, 200, 3) + np.linspace(-20, 20, side)[:, None, None]
        colour, (x, y) = rng.integers(30, 230, 3), rng.integers(2, side // 2, 2)
        for t, frame in enumerate(clip):
            frame[y : y + side // 4, (x + t) % side : (x + t) % side + side // 4] = colour
    return torch.from_numpy(clips)


@pytest.fixture
def latents(tmp_path: Path) -> Path:
    """A shard of the default model's kind: 24 channels, MiniLM's words, maps, scenes."""
    n, t, h, w, words = 4, 3, 4, 4, 384
    generator = torch.Generator().manual_seed(0)
    tensors = {f"text_{kind}": torch.randn(n, 5, words, generator=generator).bfloat16() for kind in KINDS}
    tensors["text_lengths"] = torch.full((n, len(KINDS)), 5, dtype=torch.int32)
    tensors["latents"] = torch.randn(n, 24, t, h, w, generator=generator).bfloat16()
    tensors["scene"] = torch.randn(n, CHANNELS, t, 1, POSITIONS, generator=generator)
    tensors["map"] = torch.randint(255, (n, len(KINDS_MAPPED), t, h, w), generator=generator).byte()
    records = [{"seed": seed, "captions": dict.fromkeys(KINDS, "A red ball.")} for seed in range(n)]
    write_shard(
        tmp_path / "latents" / "latents-00000.safetensors", tensors, records, {"frames": 5, "size": (32, 32)}
    )
    return tmp_path


@pytest.mark.parametrize("name", RUNS)
def test_a_recipe_says_its_command(name: str) -> None:
    assert f"sorairo train {name} " in (ROOT / "recipes" / f"{name}.py").read_text()
    assert recipe(name).name == name


def test_tiny(tmp_path: Path) -> None:
    tiny = recipe("tiny")
    assert tiny.data is not None
    tiny.data(tmp_path / "run", True)
    assert (one_step("tiny", tmp_path / "run") / "transformer.safetensors").exists()


def test_the_default_model(latents: Path) -> None:
    shutil.copytree(find_folder("default") / "vae", latents / "codec" / "export" / "vae")
    export = one_step("default", latents / "default")
    made = load_checkpoint(export, "fp32")
    assert made.info.steps_trained == 1 and made.info.vocabulary == ("a", "ball", "red")
    assert made.shift == 4.0 and made.transformer.config == load_checkpoint("default").transformer.config


def test_wider_circles(latents: Path) -> None:
    made = load_checkpoint(one_step("circles", latents / "circles"), "fp32")
    base = load_checkpoint("default", "fp32")
    assert made.info.steps_trained == base.info.steps_trained + 1 and "ball" in made.info.vocabulary
    assert made.shift == base.shift and made.decoder is not None and made.scene is not None


def test_no_wording_of_a_camera_has_words_of_held_out_sentences() -> None:
    scene = sys.modules[recipe("scene").build.__module__]
    for move in CAMERA_WORDS:
        if move in scene.CAMERAS:
            said = scene.wordings(move)
            assert len(set(said)) == len(said) > 9, move
            assert not set(said) & set(CAMERA_WORDS[move].heldout)
            assert not HELDOUT_WORDS & set(re.findall("[a-z]+", " ".join(said).lower())), move


def test_the_scene(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scene = recipe("scene")
    module = sys.modules[scene.build.__module__]
    monkeypatch.setattr(module, "FIRST", 1)
    monkeypatch.setattr(module, "CLIPS", 3)
    assert scene.data is not None
    scene.data(tmp_path / "run", False)
    made = load_checkpoint(one_step("scene", tmp_path / "run"), "fp32")
    assert made.scene is not None and made.scene.config == module.CONFIG


def test_the_default_ends_with_a_codec_and_says_how_to_make_it(tmp_path: Path) -> None:
    module = runpy.run_path(str(ROOT / "recipes" / "default.py"))
    with pytest.raises(UserError, match="sorairo train codec_default"):
        module["find_codec"](tmp_path / "default")


def test_a_student_of_few_steps(latents: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    few = recipe("few_steps")
    module = sys.modules[few.build.__module__]
    monkeypatch.setattr(module, "FIRST", 1)
    monkeypatch.setattr(module, "PLAN", replace(module.PLAN, shards=1))
    assert few.data is not None
    few.data(latents / "few", False)
    made = load_checkpoint(one_step("few_steps", latents / "few"), "fp32")
    assert made.info.default_steps == 4 and made.info.default_guidance == 1.0
    assert made.sampler.name == "euler"


def test_the_captioner(latents: Path) -> None:
    for index in (1, 2):  # two shards are kept back
        shutil.copy(
            latents / "latents/latents-00000.safetensors",
            latents / f"latents/latents-0000{index}.safetensors",
        )
    export = one_step("captioner", latents / "captioner")
    said = Trained(export / "captioner.safetensors").of(torch.zeros(1, 24, 3, 4, 4))
    assert len(said) == 1 and len(said[0]) == 2


def test_own_clips(tmp_path: Path) -> None:
    own, clips = recipe("own_clips"), tmp_path / "clips"
    assert own.data is not None
    with pytest.raises(UserError, match="does not exist"):
        own.data(tmp_path / "run", True)
    clips.mkdir()
    for index, film in enumerate(films(2, 17, 96).numpy()):
        write_video(Video(frames=film, fps=8.0), clips / f"{index}.mp4")
        (clips / f"{index}.txt").write_text("A wobbly square drifts.\n")
    own.data(tmp_path / "run", True)
    made = load_checkpoint(one_step("own_clips", tmp_path / "run"), "fp32")
    before = load_checkpoint("single", "fp32")
    assert "wobbly" in made.info.vocabulary and "red" in made.info.vocabulary
    assert made.info.steps_trained == before.info.steps_trained + 1 and not made.info.scorecard
    one, other = (next(m.transformer.parameters()) for m in (made, before))
    assert torch.allclose(one, other, atol=0.05) and not torch.equal(one, other)
    (clips / "9.mp4").write_bytes((clips / "0.mp4").read_bytes())
    (clips / "9.txt").write_text("Another.")
    with pytest.raises(UserError, match="clips have changed"):
        own.data(tmp_path / "run", True)


def test_the_codec(tmp_path: Path) -> None:
    for split in ("train", "heldout"):
        path = tmp_path / "codec-pixels" / f"{split}-0-96px-0.safetensors"
        write_shard(path, {"frames": films(2, 9, 96)}, [{}] * 2)
    begun = Codec(
        PRESETS["default"]
    )  # in place of the fitted encoder, which takes a while and has tests of its own
    begun.init_weights()
    (tmp_path / "codec").mkdir()
    save_file(
        {k: v.contiguous() for k, v in begun.state_dict().items()}, tmp_path / "codec/start.safetensors"
    )
    assert load_codec(one_step("codec_default", tmp_path / "codec") / "vae", torch.float32).config.z_dim == 24


def test_the_small_decoder(tmp_path: Path) -> None:
    for split in ("train", "heldout"):
        path = tmp_path / "codec-pixels" / f"{split}-0-96px-0.safetensors"
        write_shard(path, {"frames": films(2, 9, 96)}, [{}] * 2)
    made = {"frames": films(3, 9, 96), "latents": torch.randn(3, 24, 5, 12, 12).half()}
    write_shard(tmp_path / "own" / "own-00000.safetensors", made, [{}] * 3)
    source = decoder_source(one_step("small_decoder", tmp_path / "small") / "decoder")
    assert source.config == decoder_source(find_folder("default") / "decoder").config


def test_the_upscaler(tmp_path: Path) -> None:
    for split in ("train", "heldout"):
        frames = films(2, 5, 64)
        small = halved(frames)
        write_shard(
            tmp_path / "upscaler-pixels" / f"{split}-0.safetensors",
            {"frames": frames, "halves": small, "decoded": small // 2},
            [{}] * 2,
        )
    export = one_step("upscaler", tmp_path / "upscaler")
    assert load_upscaler(export / "x2.safetensors").config


def test_the_wrong_file_is_no_recipe(tmp_path: Path) -> None:
    (tmp_path / "empty.py").write_text("x = 1\n")
    with pytest.raises(UserError, match="no function build"):
        load_recipe(str(tmp_path / "empty.py"))
    (tmp_path / "broken.py").write_text("def build(:\n")
    with pytest.raises(UserError, match="line 1"):
        load_recipe(str(tmp_path / "broken.py"))
