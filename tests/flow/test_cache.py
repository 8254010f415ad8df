"""On data whose best velocity is known in closed form."""

import math

import pytest
import torch

from sorairo.flow.cache import CacheConfig, cached
from sorairo.flow.guidance import guided, with_known
from sorairo.flow.schedule import unipc_sigmas
from sorairo.flow.solvers import SOLVERS, unipc

DEVIATION = 0.3
SIGMAS = unipc_sigmas(40, 3.0)


def mean():
    return torch.linspace(-1, 1, 2 * 3 * 4 * 4, dtype=torch.float64).view(1, 2, 3, 4, 4)


def noise(seed=0):
    return torch.randn(1, 2, 3, 4, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Gaussian:
    """E[noise - data | x] for data ~ N(mean, DEVIATION^2), which counts how often it is asked."""

    def __init__(self, mean):
        self.mean, self.asked = mean, []

    def __call__(self, x, sigma):
        self.asked.append(sigma)
        if isinstance(sigma, torch.Tensor):
            sigma = sigma.to(x)[:, None, :, None, None]
        variance = (1 - sigma) ** 2 * DEVIATION**2 + sigma**2
        centred = (x - (1 - sigma) * self.mean) / variance
        return sigma * centred - (self.mean + (1 - sigma) * DEVIATION**2 * centred)


def arrived(start):
    """Where the probability flow carries noise: data of the same quantile."""
    return mean() + DEVIATION * start


def test_off_is_the_velocity_itself():
    velocity = Gaussian(mean())
    assert cached(velocity, SIGMAS, None) is velocity
    plain = unipc(velocity, noise(), SIGMAS)
    again = Gaussian(mean())
    assert torch.equal(unipc(cached(again, SIGMAS, CacheConfig(tolerance=0.0)), noise(), SIGMAS), plain)
    assert again.asked == SIGMAS[:-1]


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_third_of_the_steps_arrive_where_all_do(solver):
    def error(config):
        velocity = Gaussian(mean())
        made = SOLVERS[solver](cached(velocity, SIGMAS, config), noise(), SIGMAS)
        return (made - arrived(noise())).abs().max().item(), len(velocity.asked)

    exact, steps = error(None)
    near, asked = error(CacheConfig(tolerance=0.02))
    far, fewer = error(CacheConfig(tolerance=0.2))
    assert steps == 40 and fewer < 10 < asked < 15
    assert near < exact + 0.02
    assert far < exact + 0.2


def test_foretold_velocities_are_within_the_tolerance():
    truth, velocity, off = Gaussian(mean()), Gaussian(mean()), []
    wrapped = cached(velocity, SIGMAS, CacheConfig(tolerance=0.05))

    def watched(x, sigma):
        made, want = wrapped(x, sigma), truth(x, sigma)
        off.append(((made - want).norm() / want.norm()).item())
        return made

    unipc(watched, noise(), SIGMAS)
    assert len(velocity.asked) < 15
    assert sum(error > 0 for error in off) == 40 - len(velocity.asked)
    assert max(off) < 2 * 0.05
    assert sum(off) / len(off) < 0.5 * 0.05


@pytest.mark.parametrize(("first", "last"), [(3, 1), (5, 4)])
def test_both_ends_are_computed(first, last):
    velocity = Gaussian(mean())
    config = CacheConfig(tolerance=math.inf, first=first, last=last)
    unipc(cached(velocity, SIGMAS, config), noise(), SIGMAS)
    assert velocity.asked[:first] == SIGMAS[:first] and velocity.asked[-last:] == SIGMAS[40 - last : 40]
    assert len(velocity.asked) < first + last + 6  # between them only what is too far off to foretell


@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_few_steps_work(steps):
    sigmas = unipc_sigmas(steps, 3.0)
    assert unipc(cached(Gaussian(mean()), sigmas, CacheConfig()), noise(), sigmas).isfinite().all()


def test_nothing_passes_to_the_next_generation():
    config = CacheConfig(tolerance=0.1)
    wrapped = cached(Gaussian(mean()), SIGMAS, config)
    unipc(wrapped, noise(1), SIGMAS)
    fresh = unipc(cached(Gaussian(mean()), SIGMAS, config), noise(2), SIGMAS)
    assert torch.equal(unipc(wrapped, noise(2), SIGMAS), fresh)


def test_a_sudden_change_is_noticed():
    """Only a computed step can show it; more are computed from then on, until the velocity is calm again."""
    calm, other, asked = Gaussian(mean()), Gaussian(-mean()), []

    def velocity(x, sigma):
        asked.append(sigma)
        return calm(x, sigma) if sigma > 0.8 else other(x, sigma)

    unipc(cached(velocity, SIGMAS, CacheConfig(tolerance=0.02)), noise(), SIGMAS)
    seen = next(sigma for sigma in asked if sigma <= 0.8)
    after = SIGMAS.index(seen)
    assert SIGMAS[after + 1] in asked
    assert sum(sigma in asked for sigma in SIGMAS[after : after + 6]) >= 3


def test_under_guidance_both_branches_are_left_out_together():
    asked, other = Gaussian(mean()), Gaussian(0 * mean())
    velocity = guided(lambda x, sigma: (asked(x, sigma), other(x, sigma)), asked, 2.0)
    plain = unipc(velocity, noise(), SIGMAS)
    del asked.asked[:], other.asked[:]
    made = unipc(cached(velocity, SIGMAS, CacheConfig(tolerance=0.05)), noise(), SIGMAS)
    assert asked.asked == other.asked and len(asked.asked) < 20
    assert (made - plain).abs().max() < 0.1


@pytest.mark.parametrize("level", [0.0, 0.5])
def test_with_known_frames(level):
    known = mean() + DEVIATION * noise(3)
    cap = torch.tensor([[level, 1.0, 1.0]], dtype=torch.float64)
    velocity = Gaussian(mean())
    plain = unipc(with_known(velocity, known, noise(), cap), noise(), SIGMAS)
    del velocity.asked[:]
    inner = cached(velocity, SIGMAS, CacheConfig(tolerance=0.05))
    made = unipc(with_known(inner, known, noise(), cap), noise(), SIGMAS)
    assert len(velocity.asked) < 25
    assert made.isfinite().all()
    assert (made - plain).abs().max() < 0.1
    if level == 0:
        assert torch.allclose(made[:, :, 0], known[:, :, 0], atol=1e-5)


def test_an_edit_of_every_frame():
    """All frames wait at their level while sigma comes down to it: one velocity is computed, and no division fails."""
    cap = torch.full((1, 3), 0.6, dtype=torch.float64)
    velocity = Gaussian(mean())
    inner = cached(velocity, SIGMAS, CacheConfig(tolerance=0.05))
    made = unipc(with_known(inner, mean(), noise(), cap), noise(), SIGMAS)
    assert made.isfinite().all()
    assert sum(sigma.max() < 0.6 for sigma in velocity.asked) >= 3
