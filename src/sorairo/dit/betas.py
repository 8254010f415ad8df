"""The scheduler_config.json of diffusers' DDIMScheduler and DDPMScheduler <-> our Betas; pure, both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sorairo.config import check
from sorairo.dit.ddpm import Betas
from sorairo.dit.schemas import BetasFile
from sorairo.types import UserError

__all__ = ["from_scheduler_config", "to_scheduler_config"]

CLASSES = {"DDIMScheduler": "ddim", "DDPMScheduler": "ddpm"}
SHAPES = ("linear", "scaled_linear")
PREDICTS = {"epsilon": "noise", "sample": "data", "v_prediction": "velocity"}
VARIANCES = ("fixed_small", "fixed_large", "learned_range")
SPACINGS = ("leading", "trailing", "linspace")


def from_scheduler_config(values: Mapping[str, Any], *, where: str = "scheduler config") -> tuple[Betas, str]:
    """Our Betas, and which sampler they are for ("ddim" or "ddpm"). Raises UserError for a form we do not have."""

    def one_of(key: str, default: Any, allowed: Any) -> Any:
        value = values.get(key, default)
        if value not in list(allowed):  # a list cannot be looked up in a dict
            known = ", ".join(map(str, allowed))
            raise UserError(f"{where}: {key} = {value!r} is not supported; the choices are {known}.")
        return value

    check(BetasFile, values, where=where)
    kind = one_of("_class_name", "DDIMScheduler", CLASSES)
    one_of("trained_betas", None, [None])
    one_of("thresholding", False, [False])
    one_of("rescale_betas_zero_snr", False, [False])
    betas = Betas(
        steps=values.get("num_train_timesteps", 1000),
        start=values.get("beta_start", 0.0001),
        end=values.get("beta_end", 0.02),
        shape=one_of("beta_schedule", "linear", SHAPES),
        predicts=PREDICTS[one_of("prediction_type", "epsilon", PREDICTS)],  # pyright: ignore[reportArgumentType]
        variance=one_of("variance_type", "fixed_small", VARIANCES),
        spacing=one_of("timestep_spacing", "leading", SPACINGS),
        offset=values.get("steps_offset", 0),
        clip=values.get("clip_sample_range", 1.0) if values.get("clip_sample", True) else None,
        data_at_end=values.get("set_alpha_to_one", True),
    )
    return betas, CLASSES[kind]


def to_scheduler_config(betas: Betas, sampler: str) -> dict[str, Any]:
    """The inverse of from_scheduler_config."""
    config = {
        "_class_name": {ours: theirs for theirs, ours in CLASSES.items()}[sampler],
        "_diffusers_version": "0.36.0",
        "num_train_timesteps": betas.steps,
        "beta_start": betas.start,
        "beta_end": betas.end,
        "beta_schedule": betas.shape,
        "prediction_type": {ours: theirs for theirs, ours in PREDICTS.items()}[betas.predicts],
        "timestep_spacing": betas.spacing,
        "steps_offset": betas.offset,
        "clip_sample": betas.clip is not None,
        "clip_sample_range": betas.clip or 1.0,
    }
    own = {"ddim": {"set_alpha_to_one": betas.data_at_end}, "ddpm": {"variance_type": betas.variance}}
    return config | own[sampler]
