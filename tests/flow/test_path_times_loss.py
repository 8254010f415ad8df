import pytest
import torch

from sorairo.flow.loss import velocity_loss
from sorairo.flow.path import data_at, interpolate, over, towards, velocity_of
from sorairo.flow.times import TimesConfig, draw_times, known_frames, shifted


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def pair():
    return torch.randn(2, 4, 3, 5, 6, generator=seeded(1)), torch.randn(2, 4, 3, 5, 6, generator=seeded(2))


SIGMAS = [0.3, torch.tensor([0.1, 0.9]), torch.tensor([[0.0, 0.5, 1.0], [1.0, 0.2, 0.0]])]


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_data_can_be_told_from_any_point(sigma):
    data, noise = pair()
    x, velocity = interpolate(data, noise, sigma), velocity_of(data, noise)
    assert torch.allclose(data_at(x, velocity, sigma), data, atol=1e-6)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_the_velocity_of_predicted_data_is_the_paths_and_stays_finite(sigma):
    data, noise = pair()
    x = interpolate(data, noise, sigma)
    velocity = towards(x, data, sigma)
    there = over(data, sigma) >= 1e-3
    want = torch.where(torch.as_tensor(there).expand_as(data), noise - data, torch.zeros(()))
    assert torch.allclose(velocity, want, atol=1e-5)  # no noise: nothing is left to go
    # an error of the data weighs no more below `least` than at it
    off = towards(x, data + 0.01, sigma, least=0.05) - towards(x, data, sigma, least=0.05)
    assert off.abs().max() <= 0.2 + 1e-3


def test_path_ends_are_exact():
    data, noise = pair()
    assert torch.equal(interpolate(data, noise, 0.0), data)
    assert torch.equal(interpolate(data, noise, 1.0), noise)


def test_shift_keeps_the_ends_and_its_inverse_undoes_it():
    sigma = torch.linspace(0, 1, 11)
    assert torch.allclose(shifted(shifted(sigma, 3.0), 1 / 3.0), sigma, atol=1e-6)
    assert shifted(sigma, 3.0)[[0, -1]].tolist() == [0, 1]
    assert shifted(0.5, 3.0) == 0.75


def test_times_are_drawn_as_said():
    config = TimesConfig(per_frame=0.25, known=0.5, known_sigma=0.1)
    times = draw_times(4000, 5, config, seeded())
    assert times.sigma.shape == times.weight.shape == (4000, 5)
    assert times.sigma.min() >= 0 and times.sigma.max() <= 1
    given = times.weight == 0
    assert abs(given.any(1).float().mean() - 0.5) < 0.03
    assert not given.all(1).any()
    assert times.sigma[given].max() <= 0.1
    free = times.sigma[~given.any(1)]
    assert abs((free.std(1) > 1e-6).float().mean() - 0.25) < 0.04
    assert abs(free.mean() - 0.5) < 0.02
    again = draw_times(4000, 5, config, seeded())
    assert torch.equal(times.sigma, again.sigma) and torch.equal(times.weight, again.weight)


def test_known_frames_include_every_kind_and_never_all():
    given = known_frames(2000, 4, seeded())
    kinds = {tuple(row) for row in given.int().tolist()}
    assert {(1, 0, 0, 0), (1, 1, 1, 0), (0, 0, 0, 1), (1, 0, 0, 1), (0, 1, 0, 0)} <= kinds
    assert (1, 1, 1, 1) not in kinds and (0, 0, 0, 0) not in kinds
    assert not known_frames(10, 1, seeded()).any()
    assert (known_frames(200, 2, seeded()).sum(1) == 1).all()


def test_loss_is_a_mean_over_what_has_weight():
    data, noise = pair()
    assert velocity_loss(noise - data, data, noise) == 0
    off = (noise - data).clone()
    off[:, :, 1] += 2.0
    assert torch.isclose(velocity_loss(off, data, noise), torch.tensor(4 / 3))
    only = torch.tensor([[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.isclose(velocity_loss(off, data, noise, only), torch.tensor(4.0))
    assert velocity_loss(off, data, noise, torch.tensor([[1.0, 0.0, 1.0]] * 2)) == 0
