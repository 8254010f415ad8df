"""The network that ships, its edges, and the option."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from sorairo.cli.main import app
from sorairo.evaluation.evaluate import psnr
from sorairo.types import UserError, Video
from sorairo.upscale import upscale
from sorairo.upscale.apply import AT_ONCE, by_bicubic, enlarged, halved_video, load_upscaler, save_upscaler
from sorairo.upscale.network import Upscaler, UpscalerConfig, with_neighbours
from sorairo.video.read import read_metadata, read_video


def disc(frames: int = 3, side: int = 96) -> Video:
    """A hard-edged disc on a plain ground, a pixel further to the right in every frame, smoothly drawn."""
    y, x = np.mgrid[: 8 * side, : 8 * side] / 8
    clip = np.empty((frames, side, side, 3), np.uint8)
    for t, frame in enumerate(clip):
        inside = np.hypot(x - side / 2 - t, y - side / 2) < side / 4
        share = inside.reshape(side, 8, side, 8).mean(axis=(1, 3))[..., None]
        frame[:] = np.round(share * (190, 60, 50) + (1 - share) * (225, 215, 195))
    return Video(frames=clip, fps=8.0)


def test_it_is_nearer_to_the_large_frames_than_bicubic() -> None:
    truth = disc()
    small = halved_video(truth)
    done: list[int] = []
    large = upscale(small, progress=done.append)
    assert large.size == truth.size and large.fps == truth.fps and large.frames.dtype == np.uint8
    assert done[-1] == len(small)
    assert psnr(large, truth) > psnr(by_bicubic(small), truth) + 0.5


def test_untrained_it_is_bicubic_and_bicubic_is_pillows() -> None:
    values = np.random.default_rng(0).integers(80, 170, (1, 12, 20, 3)).astype(np.uint8)
    video = Video(frames=values, fps=1.0)
    plain = by_bicubic(video).frames
    assert np.array_equal(enlarged(video, Upscaler(UpscalerConfig(width=8, blocks=1))).frames, plain)
    theirs = np.asarray(Image.fromarray(values[0]).resize((40, 24), Image.Resampling.BICUBIC))
    assert np.abs(theirs.astype(int) - plain[0]).max() <= 1


def test_a_frame_is_the_same_in_one_piece_and_in_many() -> None:
    """Neighbours are seen across the pieces that a long clip is worked on in."""
    small = halved_video(disc(frames=4))
    wide = Video(frames=np.tile(small.frames, (1, 6, 6, 1)), fps=8.0)
    assert wide.size[0] * wide.size[1] > AT_ONCE / 2  # a frame at a time
    network = load_upscaler()
    frames = torch.from_numpy(wide.frames).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        whole = ((network(with_neighbours(frames)) + 1) * 127.5).round().clamp(0, 255)
    pieces = enlarged(wide, network).frames
    assert np.abs(pieces - whole.permute(0, 2, 3, 1).numpy()).max() <= 1  # sums are ordered otherwise
    still = enlarged(Video(frames=wide.frames[:1], fps=8.0), network)
    assert still.frames.shape == (1, 2 * wide.size[1], 2 * wide.size[0], 3)


def test_weights_come_back_and_what_is_none_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Upscaler(UpscalerConfig(width=8, blocks=1))
    torch.nn.init.normal_(network.tail.weight, std=0.1)
    save_upscaler(network, tmp_path / "x2.safetensors")
    again = load_upscaler(tmp_path / "x2.safetensors")
    assert again.config == network.config
    for name, value in again.state_dict().items():
        assert torch.equal(value, network.state_dict()[name].half().float())
    (tmp_path / "text.safetensors").write_text("text")
    for wrong in ("text", "none"):
        with pytest.raises(UserError, match="no upscaler"):
            load_upscaler(tmp_path / f"{wrong}.safetensors")
    with pytest.raises(UserError, match="--upscale takes 2, not 3"):
        upscale(disc(1, 16), 3)


def run(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def test_the_option_doubles_and_the_file_says_so(tiny_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "large.mp4"
    words = ("generate", "a red ball", "-m", tiny_folder, "--frames", 5, "--size", "96x64", "--seed", 1)
    done = run(*words, "--upscale", 2, "-o", out, "--sheet", tmp_path / "sheet.png", "--json")
    assert done.exit_code == 0, done.output
    values = json.loads(done.stdout)
    assert values["upscale"] == 2 and values["size"] == values["plan"]["size"] == [96, 64]
    assert "upscale" in values["timings"] and "upscale" in done.stderr
    assert read_video(out).size == (192, 128) and read_metadata(out)["upscale"] == 2
    assert "upscale   2, to 192x128" in run("show", out).stdout
    assert json.loads(run("show", out, "--json").stdout)["upscale"] == 2


def test_given_frames_are_doubled_and_other_scales_refused(
    tiny_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    policy = tmp_path / "policy.toml"  # without the invisible mark, which changes levels
    policy.write_text('version = "x"\n[provenance]\nmark = "off"\n')
    monkeypatch.setenv("SORAIRO_POLICY", str(policy))
    frames = np.full((1, 64, 64, 3), (200, 30, 30), np.uint8)
    Image.fromarray(frames[0]).save(tmp_path / "still.png")
    words = ("animate", tmp_path / "still.png", "a red ball", "-m", tiny_folder, "--frames", 5)
    done = run(*words, "--size", "64x64", "--upscale", 2, "-o", tmp_path / "out.webp")
    assert done.exit_code == 0, done.output
    made = read_video(tmp_path / "out.webp")
    assert made.size == (128, 128)
    assert np.abs(made.frames[0].astype(int) - frames[0, 0, 0]).max() <= 8  # plain stays plain
    for scale in (1, 3):
        refused = run(*words, "--upscale", scale, "-o", tmp_path / "out.mp4")
        assert isinstance(refused.exception, UserError) and "takes 2" in str(refused.exception)
