"""Processes that compute together: they meet, they part, and they notice when one of them is gone.

torchrun's environment variables (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT) say who they are.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import torch
from torch import distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from sorairo.types import UserError

__all__ = ["Deserted", "join", "leads", "leave", "others_present", "size", "tell"]

PATIENCE = timedelta(days=7)
"""How long a process waits for the leading one, which may have to render a data set first."""

CONNECTION = re.compile(r"connection (closed|reset|refused)|socket|gloo|nccl", re.IGNORECASE)
"""What gloo's and NCCL's errors speak of when a process is gone."""


class Deserted(UserError):
    """Another process of the run has ended."""


def size() -> int:
    """How many processes have met; 1 for one that is alone."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def leads() -> bool:
    """Whether this process is the one that writes files."""
    return size() == 1 or distributed.get_rank() == 0


def join() -> None:
    """Meet the other processes of the run, once the leading one is here, however long it takes to make its data.

    Each takes the GPU of its number on its machine, where there are some. After a failure torchrun starts all processes
    again beside the same store, which still holds the addresses of the dead ones
    (github.com/pytorch/pytorch/issues/135712). So each attempt has names of its own there.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or distributed.is_initialized():
        return
    store, rank, count = next(rendezvous("env://", timeout=PATIENCE))
    store = PrefixStore(f"sorairo/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)
    if rank == 0:
        store.set("leader", "here")
    store.wait(["leader"], PATIENCE)
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
    backend = "cpu:gloo,cuda:nccl" if cuda else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count)


def leave() -> None:
    """Part from the other processes: all wait for the last, since who goes early makes the rest abort at their end."""
    if distributed.is_initialized():
        with suppress(RuntimeError):
            distributed.barrier()
        distributed.destroy_process_group()


def tell(word: str) -> str:
    """The leading process's word, to everyone."""
    words = [word]
    if size() > 1:
        with others_present():
            distributed.broadcast_object_list(words, src=0)
    return words[0]


@contextmanager
def others_present() -> Iterator[None]:
    """Turns the failure of a collective operation into a UserError: a process of the run is gone."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and not CONNECTION.search(str(error)):
            raise
        raise Deserted(
            "Another process of this run has ended; the same command continues from the last checkpoint."
        ) from error
