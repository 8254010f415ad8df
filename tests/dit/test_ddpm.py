import math

import pytest
import torch

from sorairo.dit.ddpm import Betas, ddim, ddpm, ddpm_step, guide, timesteps


def model(x, t):
    """Any function of both: here a wavy one, with a variance fraction behind the prediction."""
    prediction = torch.sin(3 * x + t / 100)
    return torch.cat([prediction, torch.cos(x * 2 + t / 70)], dim=1)


def mean_only(x, t):
    return model(x, t)[:, : x.shape[1]]


def start():
    return torch.randn(2, 4, 3, 3, generator=torch.Generator().manual_seed(0))


def draws(seed):
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator)


PREDICTS = {"noise": "epsilon", "data": "sample", "velocity": "v_prediction"}


def their_config(betas):
    return {
        "num_train_timesteps": betas.steps,
        "beta_start": betas.start,
        "beta_end": betas.end,
        "beta_schedule": betas.shape,
        "prediction_type": PREDICTS[betas.predicts],
        "clip_sample": betas.clip is not None,
        "clip_sample_range": betas.clip or 1.0,
        "timestep_spacing": betas.spacing,
        "steps_offset": betas.offset,
    }


def close(got, want):
    return (got - want).abs().max() < 1e-4 * want.abs().max()


DDIM = [
    (Betas(), 8, 0.0),
    (Betas(), 50, 0.0),
    (Betas(predicts="velocity", shape="scaled_linear", offset=1, data_at_end=False), 7, 0.0),
    (Betas(predicts="data", clip=1.0), 5, 0.5),
    (Betas(spacing="trailing"), 8, 1.0),
    (Betas(spacing="linspace"), 8, 0.0),
]


@pytest.mark.parametrize(("betas", "steps", "eta"), DDIM)
def test_ddim_is_diffusers_step_by_step(betas, steps, eta):
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(**their_config(betas), set_alpha_to_one=betas.data_at_end)
    scheduler.set_timesteps(steps)
    assert timesteps(betas, steps) == scheduler.timesteps.tolist()
    generator = torch.Generator().manual_seed(5)
    x, want = start(), []
    for t in scheduler.timesteps:
        x = scheduler.step(mean_only(x, int(t)), int(t), x, eta=eta, generator=generator).prev_sample
        want.append(x)
    got = []
    ddim(model, start(), betas, steps, eta=eta, noise=draws(5), callback=lambda step, x: got.append(x))
    assert len(got) == steps and all(close(a, b) for a, b in zip(got, want, strict=True))


DDPM = [
    (Betas(variance="learned_range"), 8, model),
    (Betas(variance="learned_range", spacing="linspace"), 25, model),
    (Betas(variance="fixed_large", predicts="velocity"), 9, mean_only),
    (Betas(clip=1.0, spacing="trailing"), 8, mean_only),
    (Betas(steps=20), 20, mean_only),
]


@pytest.mark.parametrize(("betas", "steps", "predict"), DDPM)
def test_ddpm_is_diffusers_step_by_step(betas, steps, predict):
    from diffusers import DDPMScheduler

    scheduler = DDPMScheduler(**their_config(betas), variance_type=betas.variance)
    scheduler.set_timesteps(steps)
    assert timesteps(betas, steps) == scheduler.timesteps.tolist()
    generator = torch.Generator().manual_seed(5)
    x, want = start(), []
    for t in scheduler.timesteps:
        x = scheduler.step(predict(x, int(t)), int(t), x, generator=generator).prev_sample
        want.append(x)
    got = []
    ddpm(predict, start(), betas, steps, noise=draws(5), callback=lambda step, x: got.append(x))
    assert len(got) == steps and all(close(a, b) for a, b in zip(got, want, strict=True))


def test_both_find_a_gaussian_whose_answer_is_known():
    # data of mean 2 and deviation 0.5: the best prediction of the noise is linear in x
    betas = Betas()

    def best(x, t):
        a = betas.abar_at(t)
        return (x - a**0.5 * 2) * (1 - a) ** 0.5 / (a * 0.25 + 1 - a)

    noise = draws(3)
    x = noise(torch.Size([20000, 1, 1, 1]))
    for made in (ddim(best, x, betas, 100), ddpm(best, x, betas, 250, noise=noise)):
        assert abs(made.mean().item() - 2) < 0.03
        assert abs(made.std().item() - 0.5) < 0.03


def test_a_learned_variance_lies_between_the_fixed_ones():
    x = start()
    one = lambda shape: torch.ones(shape)  # noqa: E731
    by = {}
    for name, fraction in (("small", -1.0), ("large", 1.0)):
        output = torch.cat([x * 0, torch.full_like(x, fraction)], dim=1)
        learned = ddpm_step(Betas(variance="learned_range"), output, x, 500, 480, one)
        fixed = ddpm_step(Betas(variance=f"fixed_{name}"), x * 0, x, 500, 480, one)
        assert torch.allclose(learned, fixed, atol=1e-6)
        by[name] = fixed
    assert (by["small"] < by["large"]).all()


def test_guidance_leaves_the_variance_as_asked():
    asked, other = torch.full((1, 8, 1, 1), 2.0), torch.full((1, 8, 1, 1), 1.0)
    assert guide(asked, other, 4.0, 4).flatten().tolist() == [5.0] * 4 + [2.0] * 4
    assert torch.equal(guide(asked, other, 1.0, 4), asked)


def test_the_number_of_steps_is_checked():
    for steps in (0, 1001):
        with pytest.raises(ValueError, match="1 to 1000"):
            timesteps(Betas(), steps)
    assert math.isclose(Betas().abar_at(999), 4.0358e-5, rel_tol=1e-3)
