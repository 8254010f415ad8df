import numpy as np
import pytest
import torch

from sorairo.evaluation.damage import DAMAGES, blocks, cosines, damage


@pytest.fixture
def frames():
    ys, xs = torch.meshgrid(torch.linspace(-0.4, 0.4, 40), torch.linspace(-0.4, 0.4, 56), indexing="ij")
    clip = torch.stack([ys, xs, ys * xs]).expand(5, 3, 40, 56).clone()
    clip[:, 0, 12:24, 20:34] = 0.45
    return torch.stack([frame.roll(3 * t, dims=2) for t, frame in enumerate(clip)])  # moves: blending shows


@pytest.mark.parametrize("harm", DAMAGES, ids=lambda harm: harm.__name__)
def test_a_damaged_clip_still_looks_much_the_same(frames, harm):
    for seed in range(8):
        damaged = harm(frames, np.random.default_rng(seed))
        assert damaged.shape == frames.shape
        assert 0.002 < (damaged - frames).square().mean().sqrt() < 0.1


def test_damage_is_decided_by_its_generator_and_may_be_none(frames):
    once, again = (damage(frames, np.random.default_rng(3), chance=1.0) for _ in range(2))
    assert torch.equal(once, again) and not torch.equal(once, frames)
    assert damage(frames, np.random.default_rng(3), chance=0.0) is frames


def test_cosines_are_orthonormal_and_blocks_keep_a_flat_clip():
    torch.testing.assert_close(cosines(8) @ cosines(8).T, torch.eye(8), atol=1e-5, rtol=0)
    flat = torch.full((6, 3, 20, 24), 0.3)
    for seed in range(6):
        torch.testing.assert_close(blocks(flat, np.random.default_rng(seed)), flat, atol=1e-4, rtol=0)
