# pyright: reportPrivateImportUsage=false
"""AdamW and Muon over fp32 master weights, while the network itself works on bf16 copies.

Muon (Jordan et al. 2024) moves matrices along the nearest semi-orthogonal matrix to their momentum; AdamW moves the
rest: embeddings, norms, biases, tables and heads. Weights *stored* in bf16 lose small updates; masters keep them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from sorairo.training.optim.muon import muon_directions
from sorairo.training.parallel.processes import Team
from sorairo.training.parallel.sharding import Shards, local

__all__ = ["OptimConfig", "Optimizer"]


@dataclass(frozen=True, kw_only=True)
class OptimConfig:
    """name: "muon" (matrices by Muon, the rest by AdamW) or "adamw" (everything).

    lr: AdamW's. muon_lr: Muon's, on the same scale (see muon_directions). block: rows
    orthogonalised together (0: whole matrices), which makes Newton-Schulz cheap for small batches. clip: the
    gradient's largest norm. adamw_names: parts of names of matrices that go to AdamW all the same.
    """

    name: Literal["muon", "adamw"] = "muon"
    lr: float = 1e-3
    muon_lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.99)
    momentum: float = 0.95
    weight_decay: float = 0.01
    clip: float = 1.0
    block: int = 128
    newton_steps: int = 5
    adamw_names: tuple[str, ...] = ("embed", "head", "time.", "conv_in", "conv_out", "spread", "leave")


class Optimizer:
    """Moves named parameters. `weights`, `first` and `second` are all its state, fp32, by name."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        config: OptimConfig,
        dtype: torch.dtype,
        team: Team | None = None,
    ):
        """dtype: of the working copies and of Muon's products. Parameters must come in as the exact (fp32) weights.

        team: all of whose processes step together, with the same gradients.
        """
        self.config, self.dtype, self.team = config, dtype, team
        self.working = {name: p for name, p in parameters if p.requires_grad}
        self.shards = Shards(self.working)
        self.weights = {
            name: local(p).detach().to(torch.float32, copy=True) for name, p in self.working.items()
        }
        self.first = {name: torch.zeros_like(w) for name, w in self.weights.items()}
        self.by_muon = [name for name in self.working if self._takes_muon(name)]
        self.by_adam = [name for name in self.working if name not in set(self.by_muon)]
        self.second = {name: torch.zeros_like(self.weights[name]) for name in self.by_adam}
        self.steps = 0
        for name, p in self.working.items():
            if name not in self.shards:  # those are turned as one (parallel/sharding.py: cast)
                p.data = p.data.to(dtype)  # keeps the memory layout (channels_last_3d)

    def state(self) -> dict[str, Tensor]:
        """Everything that must survive, by reference."""
        groups = {"weights": self.weights, "first": self.first, "second": self.second}
        named = {
            f"{group}/{name}": value for group, values in groups.items() for name, value in values.items()
        }
        return named | {"optim_steps": torch.tensor(self.steps)}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take back what state() gave."""
        for name, value in self.state().items():
            if name != "optim_steps":
                value.copy_(state[name])
        self.steps = int(state["optim_steps"])
        self.publish()

    @torch.no_grad()
    def publish(self) -> None:
        """Copy the masters into the network."""
        torch._foreach_copy_([local(p) for p in self.working.values()], list(self.weights.values()))

    @torch.no_grad()
    def step(self, scale: float) -> float:
        """One update at learning rates times `scale`; clears gradients. Returns the gradient's norm before clipping.

        A gradient that is not finite changes nothing (the caller sees the norm).
        """
        norm = self._norm()
        if math.isfinite(norm):
            self.update(min(1.0, self.config.clip / (norm + 1e-6)), scale)
        for p in self.working.values():
            p.grad = None
        return norm

    @torch.no_grad()
    def update(self, shrink: float, scale: float) -> None:
        """One update by gradients times `shrink`, at learning rates times `scale`. Waits for no device."""
        grads = {name: local(p.grad) for name, p in self.working.items() if p.grad is not None}
        self.steps += 1
        self._adamw([n for n in self.by_adam if n in grads], grads, shrink, scale)
        self._muon([n for n in self.by_muon if n in grads], grads, shrink, scale)
        self.publish()

    def _norm(self) -> float:
        """Of all gradients together, over everyone's rows."""
        here = {name: p.grad for name, p in self.working.items() if p.grad is not None}
        grads = [local(grad) for name, grad in here.items() if name not in self.shards]
        norms = list(torch._foreach_norm(grads, dtype=torch.float32)) if grads else []
        rows = [local(grad) for name, grad in here.items() if name in self.shards]
        if rows:
            squares = torch.stack(list(torch._foreach_norm(rows, dtype=torch.float32))).square().sum()
            norms.append(self.shards.sum(squares).sqrt())
        return float(torch.stack(norms).norm())

    def _takes_muon(self, name: str) -> bool:
        shape = self.working[name].shape  # of the whole, where it is sharded
        if self.config.name == "adamw" or len(shape) < 2:
            return False
        if any(part in name for part in self.config.adamw_names):
            return False
        return min(shape[0], shape.numel() // max(1, shape[0])) >= 16  # tables and gains are no matrices

    def _adamw(self, names: list[str], grads: dict[str, Tensor], shrink: float, scale: float) -> None:
        """Loshchilov & Hutter 2019, algorithm 2; no decay on vectors."""
        if not names:
            return
        b1, b2 = self.config.betas
        lr = self.config.lr * scale
        g = [grads[n].float() for n in names]
        w, m, v = ([group[n] for n in names] for group in (self.weights, self.first, self.second))
        torch._foreach_mul_(g, shrink)
        torch._foreach_lerp_(m, g, 1 - b1)
        torch._foreach_mul_(v, b2)
        torch._foreach_addcmul_(v, g, g, 1 - b2)
        root = torch._foreach_sqrt(v)
        torch._foreach_div_(root, (1 - b2**self.steps) ** 0.5)
        torch._foreach_add_(root, 1e-8)
        matrices = [x for x in w if x.ndim > 1]
        if matrices:
            torch._foreach_mul_(matrices, 1 - lr * self.config.weight_decay)
        torch._foreach_addcdiv_(w, m, root, value=-lr / (1 - b1**self.steps))

    def _muon(self, names: list[str], grads: dict[str, Tensor], shrink: float, scale: float) -> None:
        if not names:
            return
        lr = self.config.muon_lr * scale
        g = [grads[n].float() for n in names]
        w, m = ([group[n] for n in names] for group in (self.weights, self.first))
        torch._foreach_mul_(g, shrink)
        torch._foreach_lerp_(m, g, 1 - self.config.momentum)
        torch._foreach_lerp_(g, m, self.config.momentum)  # Nesterov's look ahead
        directions = self._directions(names, g)
        torch._foreach_mul_(w, 1 - lr * self.config.weight_decay)
        torch._foreach_add_(w, directions, alpha=-lr)

    def _directions(self, names: list[str], gradients: list[Tensor]) -> list[Tensor]:
        """muon_directions of matrices that are whole here; of sharded ones, each process for those it is dealt."""
        found = dict(zip(names, gradients, strict=True))
        turn = partial(
            muon_directions,
            block=self.config.block,
            steps=self.config.newton_steps,
            dtype=self.dtype,
        )
        whole = [name for name in names if name not in self.shards]
        if whole:
            found |= zip(whole, turn([found[name] for name in whole], team=self.team), strict=True)
        for group in self.shards.groups([name for name in names if name in self.shards]):
            mine = self.shards.to_owners(group, [found[name] for name in group])
            turned = turn(mine) if mine else []
            found |= zip(group, self.shards.from_owners(group, turned, found[group[0]]), strict=True)
        return [found[name] for name in names]
