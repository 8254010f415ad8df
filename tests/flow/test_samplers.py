"""Each sampler has the levels, the timesteps and the steps of diffusers' scheduler of that name."""

import diffusers
import pytest
import torch

from sorairo.flow.samplers import Sampler, flow_match_sigmas, sampler_named
from sorairo.types import UserError

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
UNIPC, DPM = diffusers.UniPCMultistepScheduler, diffusers.DPMSolverMultistepScheduler
EULER, LCM = diffusers.FlowMatchEulerDiscreteScheduler, diffusers.FlowMatchLCMScheduler
# name -> (our sampler, their scheduler of a shift)
PAIRS = {
    "unipc": (sampler_named("unipc"), lambda shift: UNIPC(flow_shift=shift, **FLOW)),
    "unipc, lowest level": (
        Sampler(lowest=True),
        lambda shift: UNIPC(flow_shift=shift, final_sigmas_type="sigma_min", **FLOW),
    ),
    "unipc, three steps uncorrected": (
        Sampler(uncorrected=(0, 1, 3)),
        lambda shift: UNIPC(flow_shift=shift, disable_corrector=[0, 1, 3], **FLOW),
    ),
    "dpm++": (sampler_named("dpm++"), lambda shift: DPM(flow_shift=shift, **FLOW)),
    "euler": (Sampler(name="euler", spacing="flow_match"), lambda shift: EULER(shift=shift)),
    "lcm": (Sampler(name="lcm", spacing="flow_match"), lambda shift: LCM(shift=shift)),
}


def velocity(x, sigma):
    return torch.sin(3 * x) + sigma * x


@pytest.mark.parametrize("steps", [1, 2, 5, 20])
@pytest.mark.parametrize("name", PAIRS)
def test_step_by_step(name, steps):
    sampler, scheduler = PAIRS[name]
    shift = 3.0
    theirs = scheduler(shift)
    theirs.set_timesteps(steps)
    sigmas = sampler.sigmas(steps, shift)
    assert torch.allclose(theirs.sigmas, torch.tensor(sigmas), atol=1e-6)
    assert torch.allclose(
        theirs.timesteps.float(), torch.tensor([sampler.timestep(sigma) for sigma in sigmas[:-1]]), atol=1e-3
    )
    x = noise = torch.randn(1, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
    draws = torch.Generator().manual_seed(1)
    more = {"generator": draws} if name == "lcm" else {}
    for t, sigma in zip(theirs.timesteps, sigmas, strict=False):
        x = theirs.step(velocity(x, sigma), t, x, return_dict=False, **more)[0]
    again = torch.Generator().manual_seed(1)
    solve = sampler.solver(lambda: torch.randn(noise.shape, generator=again))
    assert (solve(velocity, noise, sigmas, None) - x).abs().max() < 5e-5


@pytest.mark.parametrize("shift", [1.0, 2.0, 3.0, 5.0, 7.0, 12.0])
@pytest.mark.parametrize("name", ["unipc", "dpm++", "euler"])
def test_the_model_is_told_diffusers_timesteps(name, shift):
    """To the whole number: of DPM++ at shift 1 some were one off, where a product was cut off a hair below it."""
    sampler, scheduler = PAIRS[name]
    for steps in range(1, 61):
        theirs = scheduler(shift)
        theirs.set_timesteps(steps)
        said = [sampler.timestep(sigma) for sigma in sampler.sigmas(steps, shift)[:-1]]
        assert theirs.timesteps.tolist() == pytest.approx(said, abs=1e-3), steps


def test_the_levels_of_four_steps_at_shift_5():
    """Where Wan 2.2 Lightning was trained."""
    for name in ("euler", "lcm"):
        sampler = sampler_named(name)
        sigmas = sampler.sigmas(4, 5.0)
        times = [sampler.timestep(sigma) for sigma in sigmas[:-1]]
        assert times == pytest.approx([1000, 937.5, 833.333333, 625])
        assert sigmas[-1] == 0.0
    assert flow_match_sigmas(1, 5.0) == [1.0, 0.0]


def test_another_name_is_refused():
    with pytest.raises(UserError, match="unipc, euler, dpm"):
        sampler_named("heun")
