"""The settings of a run: what every objective has in common, and which of them may change on the way."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from sorairo.training.optim.optimizer import OptimConfig
from sorairo.training.optim.schedule import Schedule

__all__ = ["EARLIER", "MAY_CHANGE", "SAME", "TrainConfig"]

MAY_CHANGE = frozenset(
    f"train.{key}"
    for key in (
        "steps",
        "device",
        "compile",
        "checkpointing",
        "shard",
        "context",
        "threads",
        "checkpoint_minutes",
        "sample_every",
        "tensorboard",
        "patience",
    )
) | {  # settings that this version once wrote
    "objective.diffusion.compile",
    "objective.diffusion.dynamic",
    "objective.codec_loss.compiled",
    "objective.codec_loss.adversary",
}
"""Settings that do not decide the losses, but perhaps their last bits."""

EARLIER = {
    "objective.diffusion.predicts": "velocity",
    "objective.diffusion.noise": "batch",
    "objective.diffusion.scene": None,
    "objective.diffusion.objects": 0.0,
    "objective.data.packed": False,
    "objective.data.scenes": False,
    "objective.transformer.local": 0,
    "objective.transformer.local_width": 64,
    "objective.transformer.control_channels": 0,
    "objective.transformer.control_layers": [],
    "objective.transformer.rates": 0,
}
"""What runs did that began before these settings existed."""

SAME = {
    "train.optim.adamw_names": (
        ["embed", "head", "time.", "conv_in", "conv_out"],
        list(OptimConfig().adamw_names),
    )
}
"""(An earlier default, today's): names were added of layers that no network had then."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A run's settings, whatever is trained.

    steps: where it ends (None: by --hours or by hand). device: a name of torch's, auto is CUDA where there is some.
    dtype: of the working weights; auto is bf16 where the device multiplies it natively. compile, checkpointing: see
    Placement. shard: processes that divide one copy of the weights (FSDP2), context: those that divide each clip's
    tokens (Ulysses); see Team. threads: 0 takes torch's choice. sample_every: steps, 0 for never.
    patience: how many steps in a row may have a loss or gradient that is not finite (they change nothing).
    """

    seed: int = 0
    steps: int | None = None
    device: str = "auto"
    dtype: Literal["auto", "bf16", "fp32"] = "auto"
    compile: bool = True
    checkpointing: bool = False
    shard: int = 1
    context: int = 1
    threads: int = 0
    ema_decay: float = 0.999
    optim: OptimConfig = field(default_factory=OptimConfig)
    schedule: Schedule = field(default_factory=Schedule)
    checkpoint_minutes: float = 4.0
    sample_every: int = 1000
    tensorboard: bool = True
    patience: int = 20
