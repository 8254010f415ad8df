"""scheduler_config.json of diffusers' schedulers <-> our Sampler: each key that changes numbers is honoured or refused.

Keys that a class does not know, and those that count only without flow sigmas (betas, timestep_spacing), change nothing
there and are passed over here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sorairo.checkpoints.schemas import SchedulerFile
from sorairo.config import check
from sorairo.flow.pyramid import Pyramid
from sorairo.flow.samplers import Sampler
from sorairo.types import UserError

__all__ = ["SCHEDULERS", "Predicts", "Scheduling", "scheduler_class", "scheduler_config", "scheduling_of"]

Predicts = Literal["velocity", "data"]
PREDICTION_TYPES: dict[Predicts, str] = {"velocity": "flow_prediction", "data": "sample"}
"""What a transformer gives, and diffusers' word for it."""

OFF = (False, None, 0)
NO_OTHER_LEVELS = {
    "num_train_timesteps": (1000,),
    "use_dynamic_shifting": OFF,
    "use_karras_sigmas": OFF,
    "use_exponential_sigmas": OFF,
    "use_beta_sigmas": OFF,
    "shift_terminal": OFF,
}
# class -> key -> the values that are computed here
ONLY: dict[str, dict[str, tuple[Any, ...]]] = {
    "UniPCMultistepScheduler": NO_OTHER_LEVELS
    | {
        "use_flow_sigmas": (True,),
        "solver_order": (2, 1),  # 1: Euler's method, where no step is corrected
        "solver_type": ("bh2", "midpoint", "heun", "logrho"),  # diffusers takes the last three for bh2
        "predict_x0": (True,),
        "lower_order_final": (True,),
        "thresholding": OFF,
        "solver_p": (None, []),
        "final_sigmas_type": ("zero", "sigma_min"),
    },
    "DPMSolverMultistepScheduler": NO_OTHER_LEVELS
    | {
        "use_flow_sigmas": (True,),
        "solver_order": (2,),
        "algorithm_type": ("dpmsolver++",),
        "solver_type": ("midpoint", "logrho", "bh1", "bh2"),  # and the last three for midpoint
        "use_lu_lambdas": OFF,
        "thresholding": OFF,
        "final_sigmas_type": ("zero",),
    },
    "FlowMatchEulerDiscreteScheduler": NO_OTHER_LEVELS
    | {"invert_sigmas": OFF, "stochastic_sampling": (False, None, True)},
    "FlowMatchLCMScheduler": NO_OTHER_LEVELS | {"invert_sigmas": OFF, "scale_factors": (None, [])},
    "SelfForcingFlowMatchScheduler": {
        "num_train_timesteps": (1000,),
        "reverse_sigmas": OFF,
        "inverse_timesteps": OFF,
    },
    "HeliosScheduler": {
        "num_train_timesteps": (1000,),
        "stages": (1,),  # several are HeliosPyramidPipeline's
        "scheduler_type": ("unipc", "euler"),
        "prediction_type": ("flow_prediction",),
        "use_flow_sigmas": (True,),
        "solver_order": (2,),
        "solver_type": ("bh2", "midpoint", "heun", "logrho"),
        "predict_x0": (True,),
        "lower_order_final": (True,),
        "disable_corrector": ([],),
        "thresholding": OFF,
        "use_dynamic_shifting": (False, None, True),
        "time_shift_type": ("exponential", "linear"),
    },
    "HeliosDMDScheduler": {
        "num_train_timesteps": (1000,),
        "shift": (1.0, None),
        "prediction_type": ("flow_prediction",),
        "use_dynamic_shifting": (False, None, True),
        "time_shift_type": ("linear", "exponential"),
    },
}
DEFAULTS = {
    "num_train_timesteps": 1000,
    "use_flow_sigmas": False,
    "solver_order": 2,
    "predict_x0": True,
    "lower_order_final": True,
    "algorithm_type": "dpmsolver++",
    "final_sigmas_type": "zero",
    "stages": 3,
}
SCHEDULERS = tuple(ONLY)
UNCORRECTED = range(100)
"""Steps that UniPC of first order must not correct to be Euler's method: more than anybody takes of few-step models."""


@dataclass(frozen=True, kw_only=True)
class Scheduling:
    """What a scheduler's configuration says. shift, predicts, sampler: see Layout."""

    shift: float
    predicts: Predicts
    sampler: Sampler


def scheduling_of(values: Mapping[str, Any], kind: str, where: str) -> Scheduling:
    """Of a scheduler's class and its configuration. Raises UserError for a value that cannot be computed here."""
    check(SchedulerFile, values, where=where)
    for key, allowed in ONLY[kind].items():
        value = values.get(key, DEFAULTS.get(key, allowed[0]))
        if value not in allowed:
            shown = " or ".join(repr(one) for one in allowed if one is not None)
            raise UserError(f"{where}: {key} is {value!r:.40}; only {shown} is supported.")
    if kind == "HeliosScheduler":
        moved = values.get("time_shift_type", "exponential") if values.get("use_dynamic_shifting") else ""
        name = values.get("scheduler_type", "unipc")
        sampler = Sampler(name=name, spacing="helios", by_tokens=moved)
        return Scheduling(shift=1.0, predicts="velocity", sampler=sampler)
    if kind == "SelfForcingFlowMatchScheduler":
        sampler = Sampler(name="lcm", spacing="even")
        return Scheduling(shift=float(values.get("shift") or 5.0), predicts="velocity", sampler=sampler)
    if kind == "HeliosDMDScheduler":
        return Scheduling(shift=1.0, predicts="velocity", sampler=_pyramid(values, where))
    if kind.startswith("FlowMatch"):
        fresh = kind == "FlowMatchLCMScheduler" or values.get("stochastic_sampling")
        sampler = Sampler(name="lcm" if fresh else "euler", spacing="flow_match")
        return Scheduling(shift=float(values.get("shift") or 1.0), predicts="velocity", sampler=sampler)
    if kind == "UniPCMultistepScheduler":
        lowest, uncorrected = (
            values.get("final_sigmas_type") == "sigma_min",
            values.get("disable_corrector") or (),
        )
        if values.get("solver_order") == 1:
            if not set(UNCORRECTED) <= set(uncorrected):
                raise UserError(
                    f"{where}: solver_order is 1 and some steps are corrected; only 2, or 1 without a corrector "
                    f"(disable_corrector 0 to {UNCORRECTED[-1]}), is supported."
                )
            sampler = Sampler(name="euler", lowest=lowest)
        else:
            sampler = Sampler(lowest=lowest, uncorrected=tuple(uncorrected))
    else:
        sampler = Sampler(name="dpm++", spacing="dpm++")
    return Scheduling(
        shift=float(values.get("flow_shift") or 1.0), predicts=_predicts(values, where), sampler=sampler
    )


def _pyramid(values: Mapping[str, Any], where: str) -> Sampler:
    """Of a HeliosDMDScheduler."""
    usual = Pyramid()
    stages, ranges = values.get("stages", usual.stages), tuple(values.get("stage_range", usual.ranges))
    if len(ranges) != stages + 1 or list(ranges) != sorted({0.0, 1.0, *ranges}):
        raise UserError(f"{where}: stage_range {ranges!r:.60} does not go from 0 to 1 in {stages} stages.")
    pyramid = Pyramid(stages=stages, ranges=ranges, gamma=values.get("gamma", usual.gamma))
    moved = values.get("time_shift_type", "linear") if values.get("use_dynamic_shifting") else ""
    return Sampler(name="lcm", spacing="pyramid", by_tokens=moved, pyramid=pyramid)


def _predicts(values: Mapping[str, Any], where: str) -> Predicts:
    kinds: dict[str, Predicts] = {theirs: ours for ours, theirs in PREDICTION_TYPES.items()}
    kind = str(values.get("prediction_type"))
    if kind not in kinds:
        raise UserError(
            f"{where}: prediction_type is {kind!r:.40}; only {' or '.join(map(repr, kinds))} is supported."
        )
    return kinds[kind]


def scheduler_class(sampler: Sampler) -> str:
    """diffusers' class of a sampler. Raises UserError for levels that none of its classes has."""
    match sampler.spacing:
        case "unipc":
            return "UniPCMultistepScheduler"
        case "dpm++":
            return "DPMSolverMultistepScheduler"
        case "even" if sampler.name == "lcm":
            return "SelfForcingFlowMatchScheduler"
        case "pyramid":
            return "HeliosDMDScheduler"
        case "helios":
            return "HeliosScheduler"
        case "flow_match" | "longcat":
            return "FlowMatchLCMScheduler" if sampler.name == "lcm" else "FlowMatchEulerDiscreteScheduler"
    raise UserError(f"diffusers has no scheduler with the levels of the sampler {sampler.name}.")


def scheduler_config(
    shift: float, predicts: Predicts = "velocity", sampler: Sampler | None = None
) -> dict[str, Any]:
    """scheduler_config.json of a sampler, Wan's UniPC if None, for a model that predicts this."""
    sampler = sampler or Sampler()
    kind = scheduler_class(sampler)
    values = {"_class_name": kind, "_diffusers_version": "0.36.0", "num_train_timesteps": 1000}
    if "FlowMatch" in kind:
        return values | {"shift": shift}
    if sampler.pyramid is not None:
        one = sampler.pyramid
        values |= {"stages": one.stages, "stage_range": list(one.ranges), "gamma": one.gamma}
    if kind == "HeliosScheduler":
        values |= {"stages": 1, "stage_range": [0, 1], "scheduler_type": sampler.name}
    if kind.startswith("Helios"):
        values |= {"prediction_type": PREDICTION_TYPES[predicts], "use_flow_sigmas": True}
        if sampler.by_tokens:
            values |= {"use_dynamic_shifting": True, "time_shift_type": sampler.by_tokens}
        return values
    values |= {
        "prediction_type": PREDICTION_TYPES[predicts],
        "use_flow_sigmas": True,
        "flow_shift": shift,
        "solver_order": 2,
        "solver_type": "bh2",
        "predict_x0": True,
        "lower_order_final": True,
        "final_sigmas_type": "sigma_min" if sampler.lowest else "zero",
        "timestep_spacing": "linspace",
    }
    if kind == "DPMSolverMultistepScheduler":
        del values["predict_x0"]
        return values | {"algorithm_type": "dpmsolver++", "solver_type": "midpoint"}
    if sampler.name == "euler":
        return values | {"solver_order": 1, "disable_corrector": list(UNCORRECTED)}
    return values | ({"disable_corrector": list(sampler.uncorrected)} if sampler.uncorrected else {})
