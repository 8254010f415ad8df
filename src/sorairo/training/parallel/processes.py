"""Several processes that train one model: each computes a share of every batch, and their gradients are averaged.

Each also orthogonalises a share of the matrices (training/optim/muon.py), which would otherwise be a quarter of a step.

On a CPU this beats threads: those meet at every small kernel, processes once a step. torchrun's environment variables
(RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) are what makes a process part of a team, so torchrun works as it is.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed

from sorairo.types import UserError

__all__ = ["ALONE", "Share", "Team", "teammates"]


@dataclass(frozen=True, kw_only=True)
class Share:
    """Part `index` of a batch that is cut into `of` parts."""

    index: int = 0
    of: int = 1

    def rows(self, count: int) -> slice:
        """Which of `count` clips are this part's. Raises UserError when there is not one for every part."""
        if count < self.of:
            raise UserError(f"A batch of {count} cannot be shared by {self.of} processes: start fewer.")
        return slice(count * self.index // self.of, count * (self.index + 1) // self.of)


ALONE = Share()


class Team:
    """The processes of a run, seen from one of them. It is alone where the environment does not say otherwise."""

    def __init__(self, device: torch.device | None = None) -> None:
        """device: where this process computes (None: the CPU); decides how the processes talk to each other."""
        self.share = Share(index=int(os.environ.get("RANK", 0)), of=int(os.environ.get("WORLD_SIZE", 1)))
        if self.share.of > 1 and not distributed.is_initialized():
            cuda = device is not None and device.type == "cuda"
            distributed.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo")

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes: checkpoints, logs, samples, the export."""
        return self.share.index == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum of everyone's `numbers`, which have the same shape everywhere; in their own memory."""
        if self.share.of > 1:
            try:
                distributed.all_reduce(numbers)
            except RuntimeError as error:
                raise UserError(
                    "Another process of this run has ended; the same command continues from the last checkpoint."
                ) from error
        return numbers


@contextmanager
def teammates(count: int) -> Iterator[None]:
    """Start count - 1 more processes with this one's command line, as a team that this one leads; end them after.

    Call it before torch computes anything: every process takes its part of the processor's cores. Does nothing for
    count = 1, and in a process that is part of a team already. Raises UserError for a count below 1.
    """
    if count < 1:
        raise UserError(f"--processes is 1 or more, not {count}.")
    if count == 1 or "RANK" in os.environ:
        yield
        return
    threads = max(1, (os.cpu_count() or 1) // count)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    shared = {
        "WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "GLOO_SOCKET_IFNAME": os.environ.get("GLOO_SOCKET_IFNAME", "lo"),
        "OMP_NUM_THREADS": str(threads),
    }
    others = [
        subprocess.Popen(
            command_line(), env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank)}
        )
        for rank in range(1, count)
    ]
    torch.set_num_threads(threads)
    before = dict(os.environ)
    os.environ.update(shared, RANK="0", LOCAL_RANK="0")
    try:
        yield
        for other in others:
            other.wait(timeout=60)
    finally:
        for other in others:
            other.kill()
            other.wait()
        if distributed.is_initialized():
            distributed.destroy_process_group()
        os.environ.clear()
        os.environ.update(before)


def command_line() -> list[str]:
    """What starts this program again, however it was started (a script, -m, -c)."""
    return [sys.executable, *sys.orig_argv[1:]]
