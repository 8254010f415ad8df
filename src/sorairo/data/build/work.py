"""Who does the work: this process, several of this machine, or a Ray cluster. All give the same results."""

from __future__ import annotations

import logging
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import lru_cache
from typing import Protocol, TypeVar

from sorairo.data.build.make import Encoders, Made, Order, make_shard
from sorairo.types import UserError

__all__ = ["Crew", "Here", "Processes", "make_with"]

log = logging.getLogger(__name__)

A = TypeVar("A")
B = TypeVar("B")
Load = Callable[[], Encoders]


class Crew(Protocol):
    """Does one thing to many items."""

    def each(self, do: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """What `do` makes of each, as it becomes ready. Both can be pickled."""
        ...


class Here:
    """One after the other, in this process."""

    def each(self, do: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """See Crew."""
        return map(do, items)


class Processes:
    """In several processes, each fresh and with one thread. An item that ends its process is tried once more, alone."""

    def __init__(self, count: int) -> None:
        self.count = count

    def each(self, do: Callable[[A], B], items: Iterable[A]) -> Iterator[B]:
        """See Crew. Raises UserError where an item ends its process twice: it may lack memory."""
        left: list[A] = []
        yield from self._round(do, list(items), self.count, left)
        if left:
            log.warning("a process ended early; %d items are done again, one at a time", len(left))
        for item in left:
            again: list[A] = []
            yield from self._round(do, [item], 1, again)
            if again:
                raise UserError(
                    f"A process ended twice over {str(item)[:200]}: it may lack memory, or the file is harmful."
                )

    def _round(self, do: Callable[[A], B], items: list[A], many: int, left: list[A]) -> Iterator[B]:
        context = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(many, mp_context=context, initializer=one_thread) as pool:
            rest, running = deque(items), dict[Future[B], A]()
            try:
                while rest or running:
                    while rest and len(running) < 2 * many:
                        running[pool.submit(do, rest[0])] = rest[0]
                        rest.popleft()
                    for future in wait(running, return_when=FIRST_COMPLETED).done:
                        result = future.result()
                        del running[future]
                        yield result
            except BrokenProcessPool:
                left += [*running.values(), *rest]
            finally:
                pool.shutdown(cancel_futures=True)


def one_thread() -> None:
    """As many processes as there are cores: each computes with one thread."""
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@lru_cache(maxsize=1)
def _loaded(load: Load) -> Encoders:
    return load()


def make_with(load: Load, order: Order) -> Made:
    """`make_shard` with encoders that are loaded once in each process."""
    return make_shard(order, _loaded(load))
