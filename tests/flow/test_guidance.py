import pytest
import torch

from sorairo.flow.guidance import cfg, guided, with_known
from sorairo.flow.path import interpolate
from sorairo.flow.schedule import from_level, unipc_sigmas
from sorairo.flow.solvers import SOLVERS


def tensors(count=2):
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(2, 4, 3, 4, 4, generator=generator) for _ in range(count)]


def test_the_rule():
    asked, other = tensors()
    assert torch.allclose(cfg(asked, other, 1.0), asked, atol=1e-6)
    assert torch.allclose(cfg(asked, other, 3.0), 3 * asked - 2 * other, atol=1e-6)


def test_guidance_only_costs_where_it_works():
    calls = []

    def both(x, sigma):
        calls.append(sigma)
        return x, 0 * x

    velocity = guided(both, lambda x, sigma: x, 3.0, interval=(0.2, 0.8))
    x = torch.ones(1)
    assert [velocity(x, sigma).item() for sigma in (0.9, 0.5, 0.1)] == [1, 3, 1]
    assert calls == [0.5]
    assert guided(both, lambda x, sigma: x, 1.0)(x, 0.5).item() == 1
    assert calls == [0.5]


def test_known_frames_arrive_exactly_and_the_model_sees_them_clean():
    known, noise = tensors()
    cap = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    frames = (cap == 0)[:, None, :, None, None].expand_as(known)

    def velocity(x, sigma):
        assert torch.equal(sigma == 0, cap == 0)
        assert torch.equal(x[frames], known[frames])
        return x + 1

    for solver in SOLVERS.values():
        made = solver(with_known(velocity, known, noise, cap), noise, unipc_sigmas(6, 3.0))
        assert torch.allclose(made[frames], known[frames], atol=1e-5)
        assert not torch.allclose(made[~frames], known[~frames], atol=0.1)


def test_an_edit_starts_from_its_own_noise_level():
    known, noise = tensors()
    levels = []

    def velocity(x, sigma):
        levels.append(sigma[0, 0].item())
        return noise - known

    cap = torch.full((2, 3), 0.6)
    sigmas = from_level(unipc_sigmas(8, 1.0), 0.6)
    assert sigmas[0] == 0.6 and all(sigma < 0.6 for sigma in sigmas[1:])
    start = interpolate(known, noise, 0.6)
    made = SOLVERS["unipc"](with_known(velocity, known, noise, cap), start, sigmas)
    assert max(levels) == pytest.approx(0.6) and min(levels) < 0.2 and len(levels) == len(sigmas) - 1
    assert torch.allclose(made, known, atol=1e-5)
    assert from_level(unipc_sigmas(8, 1.0), 1.0) == unipc_sigmas(8, 1.0)


def test_frames_without_a_level_of_their_own_are_seen_as_noisy_as_the_rest():
    known, noise = tensors()
    cap = torch.tensor([[0.0, 1.0, 1.0], [0.0, 1.0, 0.0]])
    firm = (cap == 0)[:, None, :, None, None].expand_as(known)

    def velocity(x, sigma):
        assert (sigma == sigma[0, 0]).all()
        assert torch.allclose(x[firm], interpolate(known, noise, sigma[0, 0].item())[firm], atol=1e-5)
        return x + 1

    led = with_known(velocity, known, noise, cap, own=torch.zeros(2, 3, dtype=torch.bool))
    made = SOLVERS["unipc"](led, noise, unipc_sigmas(6, 3.0))
    assert torch.allclose(made[firm], known[firm], atol=1e-5)


def test_pinned_positions_of_a_frame_arrive_exactly():
    known, noise = tensors()
    pinned = torch.zeros(2, 1, 3, 4, 4, dtype=torch.bool)
    pinned[..., :2] = True
    led = with_known(lambda x, sigma: x + 1, known, noise, torch.ones(2, 3), pinned=pinned)
    made = SOLVERS["unipc"](led, noise, unipc_sigmas(6, 3.0))
    assert torch.allclose(made[..., :2], known[..., :2], atol=1e-5)
    assert not torch.allclose(made[..., 2:], known[..., 2:], atol=0.1)
