"""Against a Gaussian, whose best velocity and flow are known in closed form; and against diffusers."""

import math

import pytest
import torch

from sorairo.flow.schedule import sigmas_at, timestep_of, unipc_sigmas
from sorairo.flow.solvers import SOLVERS, dpmpp_2m, euler, renoise, unipc

MEAN, DEVIATION = 0.7, 0.3


def spread(sigma):
    return math.sqrt((1 - sigma) ** 2 * DEVIATION**2 + sigma**2)


def velocity(x, sigma):
    """E[noise - data | x] for data ~ N(MEAN, DEVIATION^2)."""
    centred = (x - (1 - sigma) * MEAN) / spread(sigma) ** 2
    return sigma * centred - (MEAN + (1 - sigma) * DEVIATION**2 * centred)


def flow(x, start, stop):
    """Where the probability flow carries x: it keeps its distance from the mean, in deviations."""
    return (1 - stop) * MEAN + spread(stop) * (x - (1 - start) * MEAN) / spread(start)


def error(solver, steps):
    sigmas = [0.95 + (0.05 - 0.95) * i / steps for i in range(steps + 1)]
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    return (solver(velocity, x, sigmas) - flow(x, sigmas[0], sigmas[-1])).abs().max().item()


@pytest.mark.parametrize(("solver", "order"), [(euler, 1), (dpmpp_2m, 2), (unipc, 2)])
def test_order_of_convergence(solver, order):
    slope = math.log2(error(solver, 512) / error(solver, 1024))
    assert slope == pytest.approx(order, abs=0.05)


def test_more_order_is_less_error():
    assert error(unipc, 16) < error(dpmpp_2m, 16) < error(euler, 16)


@pytest.mark.parametrize("name", SOLVERS)
def test_noise_becomes_data(name):
    x = torch.randn(20000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    seen = []
    made = SOLVERS[name](velocity, x, unipc_sigmas(24, 1.0), lambda step, x: seen.append(step))
    assert abs(made.mean().item() - MEAN) < 0.02
    assert abs(made.std().item() - DEVIATION) < 0.03
    assert seen == list(range(24))


def test_few_steps_work():
    """Each step more brings every solver nearer to the exact flow, and none is further from it than Euler's."""
    x = torch.linspace(-2, 2, 9, dtype=torch.float64)
    far = {
        (name, steps): (solver(velocity, x, unipc_sigmas(steps, 3.0)) - flow(x, 1.0, 0.0)).abs().max()
        for name, solver in SOLVERS.items()
        for steps in (1, 2, 3, 4)
    }
    for (name, steps), distance in far.items():
        assert distance <= far["euler", steps] + 1e-9
        assert steps == 1 or distance < 0.93 * far[name, steps - 1]


@pytest.mark.parametrize("steps", [1, 2, 3, 8, 20])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_unipc_is_diffusers_step_by_step(steps, shift):
    from diffusers import UniPCMultistepScheduler

    theirs = UniPCMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, num_train_timesteps=1000, flow_shift=shift
    )
    theirs.set_timesteps(steps)
    sigmas = unipc_sigmas(steps, shift)
    assert torch.allclose(theirs.sigmas, torch.tensor(sigmas), atol=1e-7)
    assert theirs.timesteps.tolist() == [timestep_of(sigma) for sigma in sigmas[:-1]]

    x = noise = torch.randn(2, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    want = []
    for t, sigma in zip(theirs.timesteps, sigmas, strict=False):
        x = theirs.step(velocity(x, sigma), t, x, return_dict=False)[0]
        want.append(x)
    got = []
    unipc(velocity, noise, sigmas, lambda step, x: got.append(x))
    assert max((a - b).abs().max().item() for a, b in zip(got, want, strict=True)) < 2e-5


@pytest.mark.parametrize("shift", [1.0, 5.0])
def test_euler_is_diffusers(shift):
    from diffusers import FlowMatchEulerDiscreteScheduler

    theirs = FlowMatchEulerDiscreteScheduler(shift=shift)
    theirs.set_timesteps(7)
    sigmas = theirs.sigmas.tolist()
    x = noise = torch.randn(1, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    for t, sigma in zip(theirs.timesteps, sigmas, strict=False):
        x = theirs.step(velocity(x, sigma), t, x, return_dict=False)[0]
    assert (euler(velocity, noise, sigmas) - x).abs().max() < 1e-5


def test_renoise_is_the_chain_of_means_and_fresh_noise():
    """The velocity's data is E[data | x], which is linear in x; so every level is normal, with a known spread."""
    sigmas = sigmas_at((1000, 757, 522))
    assert sigmas == [1.0, 0.757, 0.522, 0.0]
    noises, drawn = torch.Generator().manual_seed(0), []

    def fresh():
        drawn.append(torch.randn(40000, generator=noises, dtype=torch.float64))
        return drawn[-1]

    seen = []
    renoise(velocity, fresh(), sigmas, lambda step, x: seen.append(x), fresh=fresh)
    assert len(drawn) == len(seen) == 3
    width = 1.0  # of x, around (1 - sigma) MEAN
    for x, here, there in zip(seen, sigmas, sigmas[1:], strict=False):
        width = math.hypot((1 - there) * (1 - here) * DEVIATION**2 / spread(here) ** 2 * width, there)
        assert abs(x.mean().item() - (1 - there) * MEAN) < 0.01
        assert abs(x.std().item() - width) < 0.01


def test_renoise_keeps_what_is_known_whatever_the_noise():
    known, noises = torch.full((8,), 0.3), torch.Generator().manual_seed(0)
    noise = torch.randn(8, generator=noises)

    def fresh():
        return noise.copy_(torch.randn(8, generator=noises))

    made = renoise(lambda x, sigma: noise - known, noise.clone(), sigmas_at((1000, 757, 522)), fresh=fresh)
    assert torch.allclose(made, known, atol=1e-6)
