"""What the loop needs to know of a thing that can be trained."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

from sorairo.training.parallel.processes import Share

__all__ = ["Divisible", "Objective"]


class Objective(Protocol):
    """A loss over batches. The loop owns the optimiser, the average, checkpoints, logs and the clock."""

    @property
    def models(self) -> dict[str, nn.Module]:
        """The networks that are trained, by name. The loop moves them to its device and turns their parameters into
        working copies, in place.
        """
        ...

    def settings(self) -> dict[str, Any]:
        """JSON values that decide the losses (model sizes, seed, ...); a resumed run must have the same."""
        ...

    def batch(self, step: int, share: Share) -> Any:
        """A share of the batch of a step, on the CPU: a pure function of the seed, the step and the share.

        A tensor, or a tuple, a mapping or a dataclass of tensors. Called in another thread, ahead of time; the loop
        moves it to its device. What is drawn is drawn for the whole batch, so the team's size changes nothing.
        """
        ...

    def loss(self, batch: Any, step: int, share: Share) -> tuple[Tensor, dict[str, Tensor]]:
        """(the scalar to minimise, its named parts for the log) of that share; the mean over all shares is the whole
        batch's. The batch and the networks are on one device. torch's global generator is seeded per step before.
        """
        ...

    def count(self, batch: Any) -> tuple[int, int]:
        """(clips, tokens or pixels) in this share of a batch, for the live view."""
        ...

    def flops(self, batch: Any) -> float:
        """Floating-point operations of the forward and backward passes over this share of a batch."""
        ...

    def sample(self, folder: Path, step: int) -> dict[str, float]:
        """Write samples into the folder, with the averaged weights in place. Returns scores for the log, or {}."""
        ...

    def export(self, folder: Path) -> None:
        """Write the checkpoint that users load, with the averaged weights in place."""
        ...


@runtime_checkable
class Divisible(Protocol):
    """An objective whose networks may be divided among processes (--shard, --context)."""

    def over(self, networks: Mapping[str, nn.Module]) -> Objective:
        """The same objective over plain copies of its networks, on which one process samples and exports."""
        ...
