"""A process that has generated may fork, and the child may generate."""

from __future__ import annotations

import os
from functools import cache, partial

import torch

__all__ = ["survive_forks"]


@cache
def survive_forks() -> None:
    """Let children of a fork compute with one thread, from the first call on.

    The threads of OpenMP do not exist in a child, and a product there waits for them without end. Compiled blocks ask
    for their number of threads themselves, so with `compile` start children by spawn.
    """
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
