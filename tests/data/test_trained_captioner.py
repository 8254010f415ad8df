"""The captioner of the worlds: two sentences of a clip of any size, out of one small file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from sorairo.cli.data import captioner_of
from sorairo.codec.latent_space import LatentSpace
from sorairo.data.captions.endpoint import Endpoint
from sorairo.data.captions.network import (
    END,
    EVERYTHING,
    SUBJECT,
    CaptionerConfig,
    CaptionerNetwork,
    spoken,
    words_of,
)
from sorairo.data.captions.trained import SHIPPED, Trained, save_captioner
from sorairo.types import UserError
from sorairo.worlds import get_world

SENTENCE = "A large red ball rolls, then stops. The camera is still."
SPACE = Path(__file__).parents[2] / "recipes" / "latent_space.safetensors"


def tiny() -> CaptionerNetwork:
    torch.manual_seed(0)
    words = tuple(sorted(set(words_of(SENTENCE))))
    return CaptionerNetwork(CaptionerConfig(words=words, width=16, heads=2, hidden=16, layers=1, longest=12))


def test_words_and_sentences() -> None:
    assert spoken(words_of(SENTENCE)) == SENTENCE
    network = tiny()
    numbers = network.numbers("a purple ball", SUBJECT)
    assert numbers[0] == SUBJECT and numbers[-1] == END and len(numbers) == 4  # purple is no word of its


def test_a_file_says_the_same_again(tmp_path: Path) -> None:
    network, path = tiny(), tmp_path / "captioner.safetensors"
    save_captioner(network, LatentSpace.load(SPACE), path)
    captioner = Trained(path)
    latents = torch.randn(3, 24, 5, 4, 6)
    said = captioner.of(latents)
    assert len(said) == 3 and all(len(both) == 2 for both in said)
    network.load_state_dict({k: v.half().float() for k, v in network.state_dict().items()})
    assert [both[1] for both in said] == network.eval().caption(latents, EVERYTHING)
    assert all(len(words_of(line)) <= 12 for both in said for line in both)
    alone = captioner.of(latents[1:2])  # a clip's words do not depend on those beside it
    assert alone[0] == said[1]


def test_clips_of_odd_sizes(tmp_path: Path) -> None:
    path = tmp_path / "captioner.safetensors"
    save_captioner(tiny(), LatentSpace.load(SPACE), path)
    captioner = Trained(path)
    frames = np.random.default_rng(0).integers(0, 255, (8, 50, 39, 3), dtype=np.uint8)
    assert captioner.caption(frames, 8.0) == captioner.caption(frames[:7, :48, :32], 8.0)
    with pytest.raises(UserError, match="16 pixels"):
        captioner.caption(frames[:, :9], 8.0)


def test_who_writes_captions(tmp_path: Path) -> None:
    bad = tmp_path / "bad.safetensors"
    bad.write_bytes(b"no tensors")
    for wrong in (bad, tmp_path / "none.safetensors"):
        with pytest.raises(UserError, match="holds no captioner"):
            captioner_of(str(wrong), "")
    with pytest.raises(UserError, match="--caption-model"):
        captioner_of("worlds", "qwen3-vl")
    assert isinstance(captioner_of("http://localhost:1/v1", "qwen3-vl"), Endpoint)


def test_the_shipped_one_knows_the_worlds() -> None:
    captioner = captioner_of("worlds", "")
    assert SHIPPED.stat().st_size < 3_000_000
    right = 0
    for seed in range(4):
        clip = get_world("studio").clip(77_000_000 + seed, size=(64, 64), circle=0)
        subject, everything = captioner.caption(clip.video.frames, clip.video.fps)
        assert len(words_of(subject)) < len(words_of(everything))
        right += clip.state["objects"][0]["colour"] in subject
    assert right >= 3
