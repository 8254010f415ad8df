"""Many clips by seed, on as many processes as wished: the result does not depend on their number."""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from typing import Any

from sorairo.types import UserError
from sorairo.worlds.studio import Studio, WorldClip

__all__ = ["render_clips"]


def _clip(world: Studio, facts: dict[str, Any], seed: int) -> WorldClip:
    return world.clip(seed, **facts)


def render_clips(world: Studio, seeds: Iterable[int], workers: int = 0, **facts: Any) -> Iterator[WorldClip]:
    """Clips in the order of `seeds`; facts go to `world.clip`. workers = 0 renders in this process.

    Each worker is a fresh process (spawn) with its own OpenGL context, so it is safe beside torch's threads.
    """
    one = partial(_clip, world, facts)
    if workers <= 0:
        yield from map(one, seeds)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        queue: deque[Future[WorldClip]] = deque()
        try:
            for seed in seeds:
                queue.append(pool.submit(one, seed))
                if len(queue) >= 4 * workers:
                    yield queue.popleft().result()
            while queue:
                yield queue.popleft().result()
        except BrokenProcessPool as error:
            raise UserError(
                "A rendering process ended early: it may lack memory, or the script that started it lacks "
                "`if __name__ == '__main__':` around its calls; workers=0 needs neither."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)
