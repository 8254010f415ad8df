"""scheduler_config.json: diffusers' classes are honoured key by key, and what is not computed here is refused."""

import json
from dataclasses import replace

import diffusers
import numpy as np
import pytest
import torch

import sorairo
from sorairo.checkpoints.export import export
from sorairo.checkpoints.scheduler import SCHEDULERS, scheduler_config, scheduling_of
from sorairo.flow.samplers import Sampler
from sorairo.generation.generate import generate
from sorairo.types import Plan, Span, UserError
from tests.checkpoints.test_wan_pipelines import denoised, plan_for, theirs
from tests.checkpoints.wan_folders import saved

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning:diffusers")
FLOW = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
UNIPC, DPM, EULER, LCM = SCHEDULERS[:4]
KINDS = {
    "euler": diffusers.FlowMatchEulerDiscreteScheduler(shift=4.0),
    "dpm++": diffusers.DPMSolverMultistepScheduler(flow_shift=4.0, **FLOW),
    "unipc": diffusers.UniPCMultistepScheduler(
        flow_shift=4.0, final_sigmas_type="sigma_min", disable_corrector=[1, 2], **FLOW
    ),
    "euler by unipc": diffusers.UniPCMultistepScheduler(
        flow_shift=4.0, solver_order=1, disable_corrector=list(range(100)), **FLOW
    ),
}


@pytest.fixture(scope="module")
def pipe_and_folder(tmp_path_factory):
    diffusers.utils.logging.set_verbosity_error()
    folder = tmp_path_factory.mktemp("scheduler") / "m"
    return saved("wan2.1-t2v", folder), folder


@pytest.mark.parametrize("name", KINDS)
def test_folders_of_every_class_make_diffusers_latents(name, pipe_and_folder):
    pipe, folder = pipe_and_folder
    pipe.scheduler = KINDS[name]
    KINDS[name].save_pretrained(folder / "scheduler")
    index = json.loads((folder / "model_index.json").read_text())
    index["scheduler"] = ["diffusers", type(KINDS[name]).__name__]
    (folder / "model_index.json").write_text(json.dumps(index))
    model = sorairo.load(folder, "fp32")
    plan = plan_for(model)
    want = theirs(pipe, plan, model, output_type="latent")
    made = denoised(plan, model).latents
    mean, std = (
        torch.tensor(values).view(1, -1, 1, 1, 1)
        for values in (model.codec.config.latents_mean, model.codec.config.latents_std)
    )
    assert (made - want).abs().max() < 1e-4 * want.abs().max() or (
        made * std + mean - want
    ).abs().max() < 1e-4 * want.abs().max()
    export(folder, folder.parent / f"{name}-original", "original")
    export(folder.parent / f"{name}-original", folder.parent / name, "diffusers")
    again = sorairo.load(folder.parent / name, "fp32")
    assert (again.sampler, again.shift) == (model.sampler, 4.0)


def test_asked_samplers_and_shifts_change_the_clip(tiny_folder):
    model = sorairo.load(tiny_folder, "fp32")
    plan = own_plan(model)
    frames = {
        (name, shift): generate(replace(plan, sampler=name, shift=shift), model)[0].video.frames
        for name, shift in ((None, None), ("unipc", None), ("euler", None), ("lcm", None), ("euler", 5.0))
    }
    again = generate(replace(plan, sampler="lcm"), model)[0].video.frames
    assert np.array_equal(frames["lcm", None], again)
    assert np.array_equal(frames[None, None], frames["unipc", None])
    seen = [frames["unipc", None], frames["euler", None], frames["lcm", None], frames["euler", 5.0]]
    assert all((a != b).any() for i, a in enumerate(seen) for b in seen[:i])


def own_plan(model):
    words = (Span(text="a red ball drops"),)
    return Plan(size=model.info.sizes[0], frames=5, fps=model.info.fps, spans=words, seed=1, steps=3)


@pytest.mark.parametrize("wrong", [{"sampler": "heun"}, {"shift": 0.0}, {"shift": float("nan")}])
def test_what_no_sampler_does_is_refused(tiny_folder, wrong):
    model = sorairo.load(tiny_folder, "fp32")
    plan = own_plan(model)
    with pytest.raises(UserError, match=r"sampler is|shift is"):
        generate(replace(plan, **wrong), model)


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        (UNIPC, "use_flow_sigmas", False),
        (UNIPC, "solver_order", 3),
        (UNIPC, "solver_order", 1),  # with its corrector
        (UNIPC, "solver_type", "bh1"),
        (UNIPC, "predict_x0", False),
        (UNIPC, "lower_order_final", False),
        (UNIPC, "thresholding", True),
        (UNIPC, "use_karras_sigmas", True),
        (UNIPC, "shift_terminal", 0.1),
        (UNIPC, "use_dynamic_shifting", True),
        (UNIPC, "num_train_timesteps", 100),
        (UNIPC, "prediction_type", "epsilon"),
        (UNIPC, "disable_corrector", [-1]),
        (DPM, "algorithm_type", "sde-dpmsolver++"),
        (DPM, "solver_type", "heun"),
        (DPM, "final_sigmas_type", "sigma_min"),
        (DPM, "use_lu_lambdas", True),
        (EULER, "invert_sigmas", True),
        (EULER, "use_beta_sigmas", True),
        (EULER, "shift", 0),
        (LCM, "scale_factors", [0.5]),
    ],
)
def test_what_would_change_the_numbers_is_refused(kind, key, value):
    whole = {"flow_shift": 3.0, "shift": 3.0} | FLOW
    assert scheduling_of(whole, kind, "here").shift == 3.0
    with pytest.raises(UserError, match=f"here: {key}"):
        scheduling_of(whole | {key: value}, kind, "here")


def test_there_and_back():
    for sampler in (
        Sampler(),
        Sampler(lowest=True, uncorrected=(0, 2)),
        Sampler(name="dpm++", spacing="dpm++"),
        Sampler(name="euler", spacing="flow_match"),
        Sampler(name="lcm", spacing="flow_match"),
    ):
        values = scheduler_config(2.0, "velocity", sampler)
        back = scheduling_of(values, values["_class_name"], "here")
        assert (back.shift, back.predicts, back.sampler) == (2.0, "velocity", sampler)
        assert getattr(diffusers, values["_class_name"]).from_config(values)
