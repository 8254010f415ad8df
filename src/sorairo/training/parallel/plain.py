"""Plain copies of networks that are divided among processes, for what one process does alone: samples, exports."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor

from sorairo.training.objective import Divisible, Objective
from sorairo.training.parallel.placement import Placement
from sorairo.training.parallel.sharding import Shards, blank_copy
from sorairo.types import UserError

__all__ = ["Plain"]


class Plain:
    """Made before the networks are placed. needed: whether they will be divided at all."""

    def __init__(self, objective: Objective, placement: Placement) -> None:
        """Raises UserError for an objective whose networks cannot be divided."""
        self.objective, self.placement = objective, placement
        team = placement.team
        self.needed = team.mesh is not None or team.context is not None
        self.blank: dict[str, nn.Module] = {}
        if not self.needed:
            return
        if not isinstance(objective, Divisible):
            raise UserError(
                f"{type(objective).__name__} cannot be trained with --shard or --context: leave them out."
            )
        if team.leads:
            self.blank = {name: blank_copy(network) for name, network in objective.models.items()}

    @torch.no_grad()
    def filled(self, shards: Shards, weights: Mapping[str, Tensor]) -> Objective | None:
        """The objective over copies with these weights (by name, everyone's rows), in the leading process; else None.

        All processes must call it. A parameter without a weight, which is not trained, keeps its own.
        """
        leads = self.placement.team.leads
        copies = {name: blank.to_empty(device=self.placement.device) for name, blank in self.blank.items()}
        into = dict(self.placement.parameters(copies))
        for name, p in self.placement.parameters(self.objective.models):
            if name not in weights:
                whole = p.full_tensor() if isinstance(p, DTensor) else p
            elif name in shards:
                whole = shards.whole(name, weights[name])
            else:
                whole = weights[name]
            if leads:
                into[name].data = whole.to(
                    self.placement.dtype if p.requires_grad else whole.dtype, copy=True
                )
        if not leads:
            return None
        for name, network in self.objective.models.items():
            for buffer, value in copies[name].named_buffers():
                value.copy_(dict(network.named_buffers())[buffer])
        assert isinstance(self.objective, Divisible)
        return self.objective.over(copies)

    def empty(self) -> None:
        """Let the memory of the copies go."""
        for blank in self.blank.values():
            blank.to("meta")
