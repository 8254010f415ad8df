"""Samples during a run have the size and length that were asked for, whatever the codec's factors are."""

import pytest
import torch

from sorairo.codec.latent_space import LatentSpace
from sorairo.text.encoder import TextEncoder
from sorairo.training.objectives.sheets import SheetConfig, sheet_sampler
from sorairo.transformer.model import Transformer
from sorairo.transformer.presets import PRESETS
from sorairo.video import read_video


@pytest.mark.parametrize(("frames", "side"), [(2, 8), (4, 16)])
def test_a_sheet_has_the_asked_size(bert_source, tmp_path, frames, side):
    torch.manual_seed(0)
    space = LatentSpace.fit([torch.rand(4, 3, 9, 32, 32) * 2 - 1], z=8, shared=4, frames=frames, side=side)
    text = TextEncoder.load(bert_source)
    config = SheetConfig(size=(64, 32), frames=5, steps=2)
    sample = sheet_sampler(space, text, ["a red ball"], config)
    sample(Transformer(PRESETS["tiny"]), tmp_path, 0)
    assert (tmp_path / "sheet.png").exists()
    (clip,) = tmp_path.glob("*.mp4")
    video = read_video(clip)
    assert video.size == (64, 32) and len(video) == 5
