"""Every key of diffusers' schedulers with every other value: diffusers' numbers, or refused by its name."""

from inspect import signature

import diffusers
import pytest
import torch

from sorairo.checkpoints.scheduler import scheduling_of
from sorairo.types import UserError

pytestmark = pytest.mark.filterwarnings("ignore")
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True, "flow_shift": 3.0}
BASE = {
    "UniPCMultistepScheduler": FLOW,
    "DPMSolverMultistepScheduler": FLOW,
    "FlowMatchEulerDiscreteScheduler": {"shift": 3.0},
    "FlowMatchLCMScheduler": {"shift": 3.0},
}
WORDS = {
    "beta_schedule": ["scaled_linear", "squaredcos_cap_v2"],
    "prediction_type": ["epsilon", "sample", "v_prediction", "flow_prediction"],
    "solver_type": ["bh1", "bh2", "midpoint", "heun", "logrho"],
    "algorithm_type": ["dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++", "deis"],
    "timestep_spacing": ["leading", "trailing"],
    "final_sigmas_type": ["sigma_min", "zero"],
    "time_shift_type": ["linear"],
    "variance_type": ["learned", "learned_range"],
    "upscale_mode": ["nearest"],
    "trained_betas": [[0.001 * (1 + i) for i in range(20)]],
    "disable_corrector": [[0], [1, 2], list(range(100))],
    "scale_factors": [[0.5, 1.0]],
    "solver_p": [None],
    "shift_terminal": [0.1],
    "sigma_min": [0.1],
    "sigma_max": [0.8],
    "lambda_min_clipped": [-5.1, -1.0],
    "shift": [1.0, 5.0],
    "flow_shift": [1.0, 5.0],
    "solver_order": [1, 3],
    "num_train_timesteps": [100, 2000],
}


def other_values(key, default):
    """Values that a key may have and that are not its default."""
    if key in WORDS:
        return WORDS[key]
    if isinstance(default, bool):
        return [not default]
    assert isinstance(default, int | float), (key, default)
    return [default * 2 + 1, default / 2]


CASES = [
    (kind, key, value)
    for kind in BASE
    for key, parameter in signature(getattr(diffusers, kind).__init__).parameters.items()
    if key != "self"
    for value in other_values(key, parameter.default)
]


def velocity(x, sigma):
    return torch.sin(3 * x) + sigma * x


@pytest.mark.parametrize(("kind", "key", "value"), CASES, ids=str)
def test_every_key_gives_diffusers_numbers_or_is_refused_by_name(kind, key, value):
    values = BASE[kind] | {key: value}
    try:
        ours = scheduling_of(values, kind, "here")
    except UserError as error:
        assert key in str(error), error
        return
    for steps in (4, 9, 20):
        theirs = getattr(diffusers, kind).from_config(values)
        theirs.set_timesteps(steps)
        sigmas = ours.sampler.sigmas(steps, ours.shift)
        assert torch.allclose(theirs.sigmas, torch.tensor(sigmas), atol=1e-6)
        x = noise = torch.randn(1, 3, 2, 4, 4, generator=torch.Generator().manual_seed(0))
        fresh, again = (torch.Generator().manual_seed(1) for _ in range(2))
        more = {"generator": fresh} if kind.startswith("FlowMatch") else {}
        for t, sigma in zip(theirs.timesteps, sigmas, strict=False):
            said = ours.sampler.timestep(sigma)
            assert float(t) == pytest.approx(said, abs=1e-3)
            x = theirs.step(velocity(x, sigma), t, x, return_dict=False, **more)[0]
        solve = ours.sampler.solver(lambda draws=again: torch.randn(1, 3, 2, 4, 4, generator=draws))

        def data(x, sigma, predicts=ours.predicts):
            """What a transformer gives, as the velocity that a solver takes."""
            made = velocity(x, sigma)
            return made if predicts == "velocity" else (x - made) / sigma

        assert (solve(data, noise, sigmas, None) - x).abs().max() < 1e-4 * max(1.0, float(x.abs().max()))


def test_keys_that_a_class_does_not_have_change_nothing():
    for kind, base in BASE.items():
        known = signature(getattr(diffusers, kind).__init__).parameters
        plain = scheduling_of(base, kind, "here")
        for name in ("euler_at_final", "sigma_max", "gamma", "beta_end", "scale_factors"):
            if name not in known:
                assert scheduling_of(base | {name: 0.5}, kind, "here") == plain
