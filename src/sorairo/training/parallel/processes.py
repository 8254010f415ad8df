"""Several processes that train one model: each computes a share of every batch, and their gradients are averaged.

Each also orthogonalises a share of the matrices (training/optim/muon.py), which would otherwise be a quarter of a step.

On a CPU this beats threads: those meet at every small kernel, processes once a step. torchrun's environment variables
(RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) are what makes a process part of a team, so torchrun works as it is.
docs/scale.md says how weights (sharding.py) and single clips (transformer/context.py) are divided besides batches.
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
from torch.distributed import ProcessGroup
from torch.distributed.device_mesh import DeviceMesh, init_device_mesh

from sorairo.nn.together import join, leave, others_present
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
    """The processes of a run, seen from one of them. It is alone where the environment does not say otherwise.

    Neighbours share one clip's tokens (`context` of them), those share the weights of one copy of the network (`shard`
    times context), and copies share each batch. share: this process's part of a batch; who shares a clip has the same.
    """

    def __init__(self, device: torch.device | None = None, *, shard: int = 1, context: int = 1) -> None:
        """device: where this process computes (None: the CPU); decides how the processes talk to each other.

        Raises UserError when the processes cannot be divided so.
        """
        self.rank, self.size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
        if min(shard, context) < 1 or self.size % (shard * context):
            raise UserError(
                f"{self.size} processes cannot be divided into groups of {shard} x {context} (--shard x --context): "
                "start a multiple of that, with torchrun or --processes."
            )
        self.share = Share(index=self.rank // context, of=self.size // context)
        self.context: ProcessGroup | None = None
        self.mesh: DeviceMesh | None = None
        cuda = device is not None and device.type == "cuda"
        join()
        if context > 1:
            shape = (self.size // context, context)
            mesh = init_device_mesh("cuda" if cuda else "cpu", shape, mesh_dim_names=("batch", "context"))
            self.context = mesh.get_group("context")
        if shard > 1:
            copies = self.size // (shard * context)
            shape = (copies, shard * context)
            mesh = init_device_mesh("cuda" if cuda else "cpu", shape, mesh_dim_names=("copies", "shard"))
            self.mesh = mesh if copies > 1 else mesh["shard"]

    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes: checkpoints, logs, samples, the export."""
        return self.rank == 0

    def sum(self, numbers: Tensor) -> Tensor:
        """The sum of everyone's `numbers`, which have the same shape everywhere; in their own memory."""
        if self.size > 1:
            with others_present():
                distributed.all_reduce(numbers)
        return numbers

    def wait(self) -> None:
        """Return once everyone has come here."""
        if self.size > 1:
            with others_present():
                distributed.barrier()


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
        leave()
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
        leave()
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
