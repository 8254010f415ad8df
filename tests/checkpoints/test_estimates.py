import pytest
import torch

from sorairo.checkpoints.estimates import KNOWN, Ask, blueprint
from sorairo.types import UserError


def test_dit_xl_is_known_before_it_is_pulled():
    plan = blueprint("facebook/DiT-XL-2-256", None)
    assert {part.name: part.parameters for part in plan.parts} == {
        "transformer": 674_834_720,
        "vae": 83_653_863,
    }
    kept, freed = plan.needs(plan.asks[0], torch.bfloat16)
    weights = 2 * (674_834_720 + 83_653_863)
    assert weights < kept < 1.3 * weights
    assert 2 * 674_834_720 < freed < kept
    assert plan.needs(Ask(size=(256, 256), count=4), torch.float32)[0] > 2 * kept


def test_what_cannot_be_told_is_said(tmp_path):
    plan = KNOWN["facebook/DiT-XL-2-512"]()
    with pytest.raises(UserError, match="single pictures of 512x512 only"):
        plan.needs(Ask(size=(256, 256)), torch.bfloat16)
    with pytest.raises(UserError, match="sorairo models pull a/b"):
        blueprint("a/b", None)
    (tmp_path / "model_index.json").write_text('{"_class_name": "FluxPipeline"}')
    with pytest.raises(UserError, match="is a FluxPipeline"):
        blueprint("x", tmp_path)
