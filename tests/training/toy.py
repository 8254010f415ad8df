"""A two-layer regression: the smallest Objective, for tests of the loop. Run as a script it trains for a while."""

from __future__ import annotations

import copy
import logging
import sys
import time
from pathlib import Path

import torch
from torch import nn

from sorairo.training.loop import TrainConfig, train
from sorairo.training.parallel.processes import ALONE
from sorairo.training.rng import torch_rng


class Toy:
    def __init__(self, seed: int = 0, width: int = 32, pause: float = 0.0):
        torch.manual_seed(seed)
        self.net = nn.Sequential(nn.Linear(16, width), nn.SiLU(), nn.Linear(width, 16))
        self.seed, self.width, self.pause = seed, width, pause

    @property
    def models(self):
        return {"net": self.net}

    def settings(self):
        return {"seed": self.seed, "width": self.width}

    def batch(self, step, share=ALONE):
        x = torch.randn(8, 16, generator=torch_rng(self.seed, step, 1))
        return x[share.rows(8)], x.flip(-1)[share.rows(8)]

    def loss(self, batch, step, share=ALONE):
        time.sleep(self.pause)
        x, y = (tensor.to(self.net[0].weight.dtype) for tensor in batch)
        x = x + 0.01 * torch.randn(8, 16)[share.rows(8)].to(
            x
        )  # the global generator, seeded per step by the loop
        loss = (self.net(x) - y).float().square().mean()
        return loss, {"mse": loss.detach()}

    def over(self, networks):
        other = copy.copy(self)
        other.net = networks["net"]
        return other

    def count(self, batch):
        return len(batch[0]), batch[0].numel()

    def flops(self, batch):
        return 6.0 * batch[0].numel() * self.width * 2

    def sample(self, folder, step):
        (folder / "weight.txt").write_text(str(float(self.net[0].weight.float().sum())))
        return {"sum": float(self.net[0].weight.float().sum())}

    def export(self, folder):
        torch.manual_seed(0)
        (folder / "READY").write_text("yes")


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    torch.set_num_threads(1)
    config = TrainConfig(steps=120, checkpoint_minutes=0.004, sample_every=40, tensorboard=False)
    train(Toy(pause=0.01), config, Path(sys.argv[1]))
